"""What answers gRPC: the handlers over the store, behind their gates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastvol.rpc.admin import AdminHandlers
from fastvol.rpc.batch_delete import BatchDeleteHandlers
from fastvol.rpc.copy_source import CopySourceHandlers
from fastvol.rpc.copy_target import CopyTargetHandlers
from fastvol.rpc.fetch_needle import FetchNeedleHandlers
from fastvol.rpc.gates import Gates
from fastvol.rpc.needle import NeedleHandlers
from fastvol.rpc.needle_records import NeedleRecordHandlers
from fastvol.rpc.node import NodeFacts, NodeHandlers
from fastvol.rpc.query import QueryHandlers
from fastvol.rpc.read_all import ReadAllHandlers
from fastvol.rpc.receive_file import ReceiveFileHandlers
from fastvol.rpc.reflection import reflection_handlers
from fastvol.rpc.scrub import ScrubHandlers
from fastvol.rpc.service import volume_server_handler
from fastvol.rpc.tail_source import TailSourceHandlers
from fastvol.rpc.tail_target import TailTargetHandlers
from fastvol.rpc.tier import TierHandlers
from fastvol.rpc.vacuum import VacuumHandlers
from fastvol.rpc.volume_status import VolumeStatusHandlers
from fastvol.store.vacuuming import Vacuuming
from fastvol.version import full_version

if TYPE_CHECKING:
    from fastvol.cluster.channel import ChannelPool
    from fastvol.cluster.peer_http import PeerHttp
    from fastvol.config import Config
    from fastvol.http.access import Access
    from fastvol.observability.counts import Counts
    from fastvol.observability.operation_stats import OperationStats
    from fastvol.server.membership import Membership
    from fastvol.store.store import Store


def rpc_handlers(
    config: Config,
    store: Store,
    access: Access,
    membership: Membership | None,
    *,
    operations: OperationStats,
    counts: Counts,
    channels: ChannelPool,
    peers: PeerHttp,
) -> tuple[Any, ...]:
    """The services of the port; without ``membership`` there is no master to tell or to ask.

    ``channels`` and ``peers`` belong to the control plane, which also serves this.
    """

    def is_white_listed(host: str) -> bool:
        return access.rules.white_list.allows(
            host
        )  # the rules of now: they are read anew on SIGHUP

    gates = Gates(
        is_white_listed,
        lambda: store.state.maintenance,
        store.server_id,
    )
    masters = membership.masters if membership is not None else None
    heartbeat = membership.heartbeat if membership is not None else None
    facts = NodeFacts(full_version(store.usual_offset_width()), config.data_center, config.rack)
    vacuuming = Vacuuming(store, bytes_per_second=config.compaction_bytes_per_second)
    admin = AdminHandlers(store, masters, gates)
    trusts_callers = config.allow_untrusted_remote_endpoints
    volume_server = volume_server_handler(
        gates,
        admin.table(),
        NodeHandlers(store, masters, heartbeat, facts).table(),
        VolumeStatusHandlers(store).table(),
        NeedleHandlers(store).table(),
        BatchDeleteHandlers(store).table(),
        NeedleRecordHandlers(store, counts).table(),
        CopySourceHandlers(store).table(),
        CopyTargetHandlers(
            store,
            channels,
            masters,
            bytes_per_second=config.maintenance_bytes_per_second,
            trusts_callers=trusts_callers,
        ).table(),
        ReceiveFileHandlers(store).table(),
        TierHandlers(store).table(),
        FetchNeedleHandlers(store, peers, trusts_callers=trusts_callers).table(),
        TailSourceHandlers(store).table(),
        TailTargetHandlers(store, channels, trusts_callers=trusts_callers).table(),
        ReadAllHandlers(store, counts).table(),
        QueryHandlers(store).table(),
        VacuumHandlers(store, vacuuming, operations.vacuum).table(),
        ScrubHandlers(
            store,
            admin.mark_read_only,
            operations.scrub,
            bytes_per_second=config.maintenance_bytes_per_second,
        ).table(),
    )
    return volume_server, *reflection_handlers()
