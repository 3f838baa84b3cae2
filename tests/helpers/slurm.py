"""A Slurm of one node, started by hand from Debian's packages (slurm-wlm, munge), for tests alone."""

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

CONFIGURATION = """
ClusterName=mini
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,bf_interval=1
KillWait=5
MinJobAge=300
DefMemPerCPU=512
MaxArraySize=10001
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=16000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing():
    """Return why a Slurm cannot be started here, or an empty text."""
    programs = [
        name for name in ("munged", "slurmctld", "slurmd", "sbatch") if shutil.which(name, path=search_path()) is None
    ]
    if programs:
        return f"{', '.join(programs)} not installed (Debian: slurm-wlm munge)"
    return "" if os.geteuid() == 0 else "only root can start Slurm's daemons"


def search_path():
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def running_slurm(folder: Path, cpus=2):
    """Start munge, slurmctld and slurmd in a folder of their own; yields the environment that reaches them."""
    for name in ("munge", "state", "spool"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    (folder / "munge").chmod(0o755)
    key = folder / "munge" / "key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    host = socket.gethostname().split(".")[0]
    values = {"host": host, "folder": folder, "cpus": cpus, "port": free_port(), "node_port": free_port()}
    configuration = folder / "slurm.conf"
    configuration.write_text(CONFIGURATION.format(**values))
    environment = {**os.environ, "SLURM_CONF": str(configuration), "PATH": search_path()}
    log = (folder / "daemons.log").open("wb")
    daemons = []

    def start(*command):
        daemons.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True))

    try:
        start(
            "munged",
            "--foreground",
            "--force",
            f"--key-file={key}",
            f"--socket={folder}/munge/socket",
            f"--pid-file={folder}/munge/pid",
            f"--log-file={folder}/munge/log",
            f"--seed-file={folder}/munge/seed",
        )
        wait_for(lambda: (folder / "munge" / "socket").exists(), "munge's socket")
        start("slurmctld", "-D", "-f", str(configuration))
        start("slurmd", "-D", "-f", str(configuration), "-N", host)
        wait_for(lambda: "idle" in ask(environment, "sinfo", "-h", "-o", "%T"), "an idle node")
        yield environment
    finally:
        ask(environment, "scancel", "--user=root")
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
        log.close()


def ask(environment, *command):
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout


def wait_for(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.2)


def drain(environment, seconds=240):
    """Wait until no job is left in the queue."""
    wait_for(lambda: not ask(environment, "squeue", "-h").strip(), "the queue to be empty", seconds)
