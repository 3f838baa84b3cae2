"""The live engine's connections: encrypted, for this run's workers alone, on no more interfaces than needed."""

import importlib.util
import shlex
import socket
import stat
from types import SimpleNamespace

import psutil
import pytest

from bids_app.engine import certificates, schedulers
from bids_app.engine.certificates import own_address, security_of_run
from bids_app.engine.dask import ClusterEngine
from tests.unit.engine.test_engines import script

pytestmark = pytest.mark.skipif(importlib.util.find_spec("dask_jobqueue") is None, reason="needs dask-jobqueue")


@pytest.fixture(autouse=True)
def programs(monkeypatch):
    monkeypatch.setattr(schedulers.shutil, "which", lambda name: f"/usr/bin/{name}")


def engine_of(folder):
    return ClusterEngine("slurm", log_dir=folder / "logs")


def test_keys_are_the_users_alone_and_go_with_the_run(tmp_path):
    with security_of_run(tmp_path / "logs" / "R&D (1)") as security:
        (folder,) = (tmp_path / "logs" / "R&D (1)").iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        files = sorted(folder.iterdir())
        assert [path.name for path in files] == ["certificate.pem", "key.pem"]
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
        worker = security.get_tls_config_for_role("worker")
        assert shlex.split(worker["key"]) == [str(files[1])]  # a word of a shell
        assert security.get_tls_config_for_role("scheduler")["key"] == str(files[1])
    assert not list((tmp_path / "logs" / "R&D (1)").iterdir())


def test_strangers_are_refused(tmp_path):
    """Without a certificate, and with that of another run; the port is open on one address alone."""
    import distributed

    address = own_address()
    with security_of_run(tmp_path / "one") as security, security_of_run(tmp_path / "two") as other:
        plain = distributed.Security()
        with distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            host=address,
            protocol="tls://",
            security=security,
            dashboard_address="127.0.0.1:0",
        ) as cluster:
            with distributed.Client(cluster, security=security) as client:
                assert client.submit(sum, [1, 2]).result(timeout=60) == 3
            contact = cluster.scheduler_address
            assert contact.startswith(f"tls://{address}:")
            port = int(contact.rpartition(":")[2])
            for stranger, where in ((other, contact), (plain, contact.replace("tls://", "tcp://"))):
                with pytest.raises((OSError, TimeoutError)):
                    distributed.Client(where, security=stranger, timeout=2)
            mine = [c for c in psutil.Process().net_connections("tcp") if c.status == psutil.CONN_LISTEN]
            assert {c.laddr.ip for c in mine if c.laddr.port == port} == {address}


def test_scripts_name_the_certificate_and_no_page_is_open(tmp_path):
    _, lines, _ = script("slurm", tmp_path)
    worker = shlex.split(lines[-1])
    assert worker[worker.index("--dashboard-address") + 1] == "127.0.0.1:0"
    with security_of_run(tmp_path) as security:
        kind, keywords, _ = engine_of(tmp_path).configuration([SimpleNamespace(memory=1)])
        with kind(security=security, local_directory=str(tmp_path), **keywords) as cluster:
            assert cluster.scheduler_address.startswith(f"tls://{own_address()}:")
            words = shlex.split(cluster.job_script().splitlines()[-1])
        assert words[words.index("--tls-key") + 1].endswith("/key.pem")


@pytest.mark.parametrize("config", ['interface = "ib0"', 'scheduler_options = {interface = "ib0"}'])
def test_an_interface_that_is_given_takes_the_place_of_the_address(tmp_path, config):
    file = tmp_path / "cluster.toml"
    file.write_text("")
    jobs = [SimpleNamespace(memory=1)]
    _, keywords, _ = ClusterEngine("slurm", config_file=file).configuration(jobs)
    assert keywords["scheduler_options"] == {"host": own_address(), "dashboard_address": "127.0.0.1:0"}
    file.write_text(config)
    _, keywords, _ = ClusterEngine("slurm", config_file=file).configuration(jobs)
    assert "host" not in keywords["scheduler_options"]
    assert keywords["scheduler_options"]["dashboard_address"] == "127.0.0.1:0"


def test_address_is_one_that_others_reach(monkeypatch):
    monkeypatch.setattr(certificates.socket, "gethostbyname", lambda name: "127.0.1.1")  # as Debian writes /etc/hosts
    interfaces = {"lo": "127.0.0.1", "eth0": "10.1.2.3"}
    entries = {name: [SimpleNamespace(family=socket.AF_INET, address=a)] for name, a in interfaces.items()}
    monkeypatch.setattr(certificates.psutil, "net_if_addrs", lambda: entries)
    monkeypatch.setattr(
        certificates.psutil, "net_if_stats", lambda: dict.fromkeys(interfaces, SimpleNamespace(isup=True))
    )
    assert own_address() == "10.1.2.3"
    monkeypatch.setattr(certificates.psutil, "net_if_stats", dict)
    assert own_address() == "127.0.0.1"


def test_words_of_modules_and_commands_are_quoted(tmp_path):
    _, lines, _ = script("slurm", tmp_path, command=("apptainer", "run", "/images/R&D (1).sif"))
    assert lines[-1].startswith("apptainer exec '/images/R&D (1).sif' python -m ")
