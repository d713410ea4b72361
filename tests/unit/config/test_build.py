"""Flags become one Config, or one fatal text; the texts were recorded from the real binary."""

import os
from pathlib import Path

import pytest

from fastvol.cli.volume_flags import volume_flags
from fastvol.config import (
    Config,
    FlagValue,
    build_config,
    build_single_node_config,
)
from fastvol.errors import ConfigError
from fastvol.store.free_space import MinFreeSpace


@pytest.fixture(name="base")
def base_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with two data directories in it."""
    monkeypatch.chdir(tmp_path)
    for name in ("d1", "d2"):
        (tmp_path / name).mkdir()
    return tmp_path


def build(*argv: str, environ: dict[str, str] | None = None, config_dir: str = "") -> Config:
    parsed = volume_flags().parse(("-dir=d1", "-ip=192.0.2.7", *argv), {})
    return build_config(parsed.values, config_dir=config_dir, environ=environ or {})


def test_defaults(base: Path) -> None:
    config = build()
    assert (config.port, config.grpc_port, config.public_port) == (8080, 18080, 8080)
    assert (config.ip, config.bind_ip) == ("192.0.2.7", "192.0.2.7")
    assert config.server_id == config.public_url == config.address == "192.0.2.7:8080"
    assert not config.has_public_listener
    assert config.masters == ("localhost:9333",)
    (location,) = config.locations
    assert (location.directory, location.max_volume_count) == (Path("d1"), 8)
    assert (location.min_free_space, location.disk_type) == (MinFreeSpace(percent=1), "")
    assert config.index_directory is None
    assert config.offset_width is None
    assert (config.read_mode, config.index_kind, config.read_verify) == (
        "proxy",
        "memory",
        "always",
    )
    assert (config.file_size_max, config.upload_wait_seconds) == (256 << 20, 60)
    assert (config.metrics_ip, config.metrics_port, config.debug_port) == ("192.0.2.7", 0, 0)
    assert config.fast_read
    assert not config.single_node


def test_derived_addresses(base: Path) -> None:
    config = build(
        "-port=9000", "-port.public=9001", "-port.grpc=9002", "-ip=::1", "-ip.bind=::", "-id= me "
    )
    assert (config.grpc_port, config.public_port, config.bind_ip) == (9002, 9001, "::")
    assert (config.server_id, config.public_url) == ("me", "[::1]:9001")
    assert (config.address, config.metrics_ip) == ("[::1]:9000", "::")
    assert config.has_public_listener
    assert build("-publicUrl=example.com").public_url == "example.com"
    assert build("-id=", "-port=1").server_id == "192.0.2.7:1"


def test_masters(base: Path) -> None:
    assert build("-master=a:1,,b:2.3").masters == ("a:1", "b:2.3")
    assert build("-master=a:1", "-mserver=c:3").masters == ("c:3",)
    assert build("-master=").masters == ()


def test_limits_are_in_bytes(base: Path) -> None:
    config = build(
        "-concurrentUploadLimitMB=1", "-concurrentDownloadLimitMB=2", "-fileSizeLimitMB=3",
        "-compactionMBps=4", "-maintenanceMBps=5", "-readBufferSizeMB=6",
        "-inflightUploadDataTimeout=2s", "-inflightDownloadDataTimeout=3s",
    )  # fmt: skip
    assert config.upload_bytes_in_flight_max == 1 << 20
    assert config.download_bytes_in_flight_max == 2 << 20
    assert config.file_size_max == 3 << 20
    assert config.compaction_bytes_per_second == 4 << 20
    assert config.maintenance_bytes_per_second == 5 << 20
    assert config.read_buffer_bytes == 6 << 20
    assert (config.upload_wait_seconds, config.download_wait_seconds) == (2, 3)


@pytest.mark.parametrize(
    ("text", "mode"),
    [("local", "local"), ("proxy", "proxy"), ("redirect", "redirect"), ("typo", "redirect")],
)
def test_read_mode(base: Path, text: str, mode: str) -> None:
    assert build(f"-readMode={text}").read_mode == mode


def test_unknown_index_kind_means_memory(base: Path) -> None:
    assert build("-index=leveldbLarge").index_kind == "leveldbLarge"
    assert build("-index=typo").index_kind == "memory"


def test_leveldb_without_its_package_is_refused(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the start, not at the first volume."""
    monkeypatch.setattr("fastvol.config.build.find_spec", lambda _: None)
    assert build("-index=memory").index_kind == "memory"
    with pytest.raises(ConfigError, match="-index=leveldb needs the Python package plyvel"):
        build("-index=leveldb")


def test_leveldb_timeout_is_in_hours(base: Path) -> None:
    assert build("-index.leveldbTimeout=3").leveldb_idle_hours == 3
    assert build("-index.leveldbTimeout=-1").leveldb_idle_hours == 0


def test_own_flags(base: Path) -> None:
    config = build("-offsetBytes=4", "-fastRead=false", "-readVerify=once", "-dir.idx=d2")
    assert (config.offset_width, config.fast_read, config.read_verify) == (4, False, "once")
    assert config.index_directory == Path("d2")


def test_debug_and_profiles(base: Path) -> None:
    assert build("-debug").debug_port == 6060
    assert build("-cpuprofile=x").cpu_profile == "x"
    assert build("-cpuprofile=x", "-pprof").cpu_profile == ""


def test_several_directories(base: Path) -> None:
    config = build(
        "-dir=d1,d2", "-max=0,3", "-minFreeSpace=5,1GiB", "-disk=HDD,SSD", "-tags=A: b :a:,x"
    )
    first, second = config.locations
    assert (first.max_volume_count, second.max_volume_count) == (0, 3)
    assert first.min_free_space == MinFreeSpace(percent=5)
    assert second.min_free_space == MinFreeSpace(percent=None, bytes=1 << 30)
    assert (first.disk_type, second.disk_type) == ("", "ssd")
    assert (first.tags, second.tags) == (("a", "b"), ("x",))


def test_one_item_stands_for_all_directories(base: Path) -> None:
    config = build("-dir=d1,d2", "-max=3", "-minFreeSpace=7", "-disk=nvme", "-tags=fast:ssd")
    for location in config.locations:
        assert (location.max_volume_count, location.disk_type) == (3, "nvme")
        assert (location.min_free_space, location.tags) == (
            MinFreeSpace(percent=7),
            ("fast", "ssd"),
        )
    several = build("-dir=d1,d2", "-tags=,x,extra").locations
    assert [location.tags for location in several] == [(), ("x",)]


def test_older_free_space_flag(base: Path) -> None:
    assert build("-minFreeSpacePercent=9").locations[0].min_free_space == MinFreeSpace(percent=9)
    both = build("-minFreeSpacePercent=9", "-minFreeSpace=3")
    assert both.locations[0].min_free_space == MinFreeSpace(percent=3)


def test_home_is_expanded(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(base))
    assert build("-dir=~/d1").locations[0].directory == base / "d1"


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (["-max=x"], "The max specified in -max not a valid number x"),
        (["-max=7,"], "The max specified in -max not a valid number "),
        (["-max= 7"], "The max specified in -max not a valid number  7"),
        (["-max=1,2"], "1 directories by -dir, but only 2 max is set by -max"),
        (
            ["-minFreeSpace=1,2"],
            "1 directories by -dir, but only 2 minFreeSpacePercent is set by -minFreeSpacePercent",
        ),
        (["-disk=a,b"], "1 directories by -dir, but only 2 disk types is set by -disk"),
        (["-minFreeSpace=101"], "The value specified in -minFreeSpace not a valid value 101"),
        (
            ["-minFreeSpacePercent=abc"],
            "The value specified in -minFreeSpace not a valid value abc",
        ),
        (["-minFreeSpace=x", "-max=y"], "The value specified in -minFreeSpace not a valid value x"),
        (
            ["-dir=/nosuch", "-max=x"],
            "Check Data Folder(-dir) Writable /nosuch : stat /nosuch: no such file or directory",
        ),
        (["-dir="], "Check Data Folder(-dir) Writable  : stat : no such file or directory"),
        (["-dir=d1,"], "Check Data Folder(-dir) Writable  : stat : no such file or directory"),
        (["-dir=d1,file"], "Check Data Folder(-dir) Writable file : Not a valid folder!"),
        (["-dir=sealed"], "Check Data Folder(-dir) Writable sealed : Not writable!"),
        (["-dir=d1,d1/."], "Data Folder(-dir) d1 and d1/. are the same directory"),
        (["-dir=d1,d2,link"], "Data Folder(-dir) d1 and link are the same directory"),
        (["-offsetBytes=6"], "-offsetBytes must be one of auto, 4, 5: 6"),
        (["-readVerify=never"], "-readVerify must be one of always, once: never"),
        (["-port=99999"], "-port: address 99999: invalid port"),
        (["-metricsPort=-1"], "-metricsPort: address -1: invalid port"),
        (["-port=60000"], "failed to listen on grpc port 70000: invalid port"),
    ],
)
def test_fatal_texts(base: Path, argv: list[str], error: str) -> None:
    (base / "file").touch()
    (base / "sealed").mkdir(mode=0o555)
    (base / "link").symlink_to("d1")
    with pytest.raises(ConfigError) as caught:
        build(*argv)
    assert str(caught.value) == error


def test_security_is_part_of_it_and_checked_first(base: Path) -> None:
    (base / "security.toml").write_text('[jwt.signing]\nkey = "k"\n')
    config = build("-whiteList=1.2.3.4")
    assert config.security.write_key == "k"
    assert config.security.white_list == ("1.2.3.4",)
    (base / "security.toml").write_text("[broken")
    with pytest.raises(ConfigError, match=r"security\.toml"):
        build("-dir=/nosuch")


def test_config_dir_of_the_subcommand_wins(base: Path) -> None:
    (base / "d2" / "security.toml").write_text('[jwt.signing]\nkey = "k2"\n')
    assert build("-config_dir=d2", config_dir="d1").security.write_key == "k2"
    assert build(config_dir="d2").security.write_key == "k2"


def test_volume_toml(base: Path) -> None:
    (base / "volume.toml").write_text(
        '[volume.disk.io]\nprobe = true\ntimeout = "3s"\n[volume.disk.io.slow]\npercent = 12.5\n'
        '[volume.disk.io.slow.latency]\nhdd = "1s"\n[volume.disk.io.min]\nsamples = 4\n'
    )
    probe = build().disk_probe
    assert (probe.enabled, probe.timeout, probe.slow_percent) == (True, 3, 12.5)
    assert (probe.slow_latency_hdd, probe.slow_latency_ssd, probe.min_samples) == (1, 0.1, 4)
    (base / "volume.toml").write_text("[broken")
    assert not build().disk_probe.enabled


def test_single_node(base: Path) -> None:
    values: dict[str, FlagValue] = dict(volume_flags().parse(["-dir=d1"], {}).values)
    config = build_single_node_config(values, volume_size_max=7, config_dir="", environ=os.environ)
    assert (config.single_node, config.masters, config.volume_size_max) == (True, (), 7)
    with pytest.raises(ConfigError):
        build_single_node_config(values, volume_size_max=0, config_dir="", environ=os.environ)
