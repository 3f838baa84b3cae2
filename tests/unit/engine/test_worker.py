"""A worker that is killed leaves nothing behind that Python warns of."""

import subprocess
import sys
from pathlib import Path

_KILLED = """
import multiprocessing, os, signal, time
from bids_app.engine.worker import keep_locks_private

def work(connection):
    keep_locks_private()
    from numba.np.ufunc import parallel
    parallel._set_init_process_lock()  # what numba does when the first parallel kernel starts
    lock = parallel._backend_init_process_lock
    connection.send(type(lock).__name__)
    time.sleep(600)

if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    receiver, sender = context.Pipe(False)
    process = context.Process(target=work, args=(sender,))
    process.start()
    print(receiver.recv())
    os.kill(process.pid, signal.SIGKILL)
    process.join()
"""


def test_a_killed_worker_leaks_no_semaphore(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(_KILLED)
    root = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True, env={"PYTHONPATH": root, "PATH": ""}
    )
    assert (done.stdout.strip(), done.stderr) == ("RLock", "")
