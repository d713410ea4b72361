"""Which client certificates may call the gRPC port, by the common name of their subject.

Source of the rules: ``weed/security/tls.go: LoadServerTLS, Authenticator.Authenticate``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallerNames:
    """``allowed`` is ``grpc.volume.allowed_commonNames``, ``domain`` ``grpc.allowed_wildcard_domain``."""

    allowed: str = ""
    domain: str = ""

    @property
    def everybody(self) -> bool:
        """Whether no name is refused."""
        return not (self.allowed or self.domain)

    def accepts(self, name: str) -> bool:
        """Whether a certificate of this common name may call.

        The items of the list are compared as they stand, with their blanks. An empty list holds one
        empty name, so a certificate without a common name passes where only the domain is set.
        """
        if self.everybody:
            return True
        if self.domain and name.endswith(self.domain):
            return True
        return name in self.allowed.split(",")
