"""A stand-in for OpenPBS: ``qsub``, ``qstat`` and ``qdel`` that take what its reference guide documents, and no more.

Debian has no PBS server. Options, directives, resources, array ranges and dependencies are parsed as strictly as the
guide words them; what is not there is refused. Jobs run for real on this machine: each in a fresh environment and its
home folder, array elements with ``PBS_ARRAY_INDEX``, ended at their wall time, dependencies held until they are met. As
with OpenPBS, an array counts as ended with exit status 0 whatever its elements did.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

PLACES = 2
SERVER = "pbs"
#: Options of qsub that take a value, and those that take none.
VALUED, BARE = "AaCceGJjklMmNopPqrRSuvW", "fhIVXz"
RESOURCES = {
    "ncpus": r"[1-9]\d*",
    "mpiprocs": r"[1-9]\d*",
    "ompthreads": r"[1-9]\d*",
    "ngpus": r"\d+",
    "mem": r"[1-9]\d*(?:[kmgtp]?[bw])?",
}
DEPENDENCIES = {"after", "afterok", "afternotok", "afterany", "before", "beforeok", "beforenotok", "beforeany"}
HELD, QUEUED, RUNNING, FINISHED = "HQRF"


class RefusedError(Exception):
    """qsub will not take it."""


# What may be said ---------------------------------------------------------------------------------------------------


def options_of(words):
    """Return the options in a list of words, by letter, and what follows them."""
    options, words = {}, list(words)
    while words and words[0].startswith("-") and len(words[0]) > 1:
        word = words.pop(0)
        letter, rest = word[1], word[2:]
        if letter in BARE and not rest:
            options[letter] = True
        elif letter in VALUED and (rest or words):
            value = rest or words.pop(0)
            options.setdefault(letter, []).append(value) if letter in "lW" else options.__setitem__(letter, value)
        else:
            raise RefusedError(f"illegal option or missing value: {word}")
    return options, words


def directives(text):
    """Return the words of all directives: lines before the first that is neither empty nor a comment."""
    words = []
    for number, line in enumerate(text.splitlines()):
        if number == 0 and line.startswith("#!"):
            continue
        if line.startswith("#PBS "):
            words += shlex.split(line.removeprefix("#PBS "), comments=True)
        elif line.startswith("#PBS"):
            raise RefusedError(f"directive without a space: {line}")
        elif line.strip() and not line.startswith("#"):
            break
    return words


def checked(options):
    """Return the options as a job, or refuse them."""
    name = options.get("N", "STDIN")
    if not re.fullmatch(r"[A-Za-z0-9_+.-]{1,236}", name) or not (name[0].isalpha() or name[0].isdigit()):
        raise RefusedError(f"illegal -N value: {name}")
    if options.get("j", "n") not in ("oe", "eo", "n"):
        raise RefusedError(f"illegal -j value: {options['j']}")
    for letter in "Aq":
        if letter in options and not re.fullmatch(r"[\w.@-]+", options[letter]):
            raise RefusedError(f"illegal -{letter} value: {options[letter]}")
    for letter in "oe":
        place = Path(options.get(letter, "/tmp/"))
        if not (place if str(options.get(letter, "/")).endswith("/") else place.parent).is_dir():
            raise RefusedError(f"the folder of -{letter} is not there: {place}")
    job = {"name": name, "walltime": None, "indices": None, "at_once": None, "depend": []}
    _resources(options.get("l", []), job)
    if "J" in options:
        _array(options["J"], job)
    for attribute in options.get("W", []):
        _attribute(attribute, job)
    return job


def _resources(items, job):
    seen = set()
    for item in items:
        kind, equals, value = item.partition("=")
        if not equals or kind in seen:
            raise RefusedError(f"illegal -l value: {item}")
        seen.add(kind)
        if kind == "walltime":
            match = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+)", value)
            if not match:
                raise RefusedError(f"illegal -l value: {item}")
            hours, minutes, seconds = (int(part or 0) for part in match.groups())
            job["walltime"] = 3600 * hours + 60 * minutes + seconds
        elif kind == "select":
            for chunk in value.split("+"):
                number, *pairs = chunk.split(":")
                if not number.isdigit():
                    number, pairs = "1", chunk.split(":")
                if int(number) < 1 or not pairs:
                    raise RefusedError(f"illegal -l value: {item}")
                for pair in pairs:
                    resource, _, amount = pair.partition("=")
                    if resource not in RESOURCES or not re.fullmatch(RESOURCES[resource], amount, re.IGNORECASE):
                        raise RefusedError(f"Unknown resource: {pair}")
        elif kind != "place" or value not in ("free", "pack", "scatter", "excl", "shared"):
            raise RefusedError(f"Unknown resource: {item}")


def _array(text, job):
    match = re.fullmatch(r"(\d+)-(\d+)(?::(\d+))?(?:%(\d+))?", text)
    if not match or int(match[1]) >= int(match[2]):
        raise RefusedError(f"illegal -J value: {text}")
    job["indices"] = list(range(int(match[1]), int(match[2]) + 1, int(match[3] or 1)))
    job["at_once"] = int(match[4]) if match[4] else None


def _attribute(text, job):
    kind, equals, value = text.partition("=")
    if kind != "depend" or not equals:
        raise RefusedError(f"illegal -W value: {text}")
    for condition in value.split(","):
        word, *ids = condition.split(":")
        if word not in DEPENDENCIES or not ids or not all(re.fullmatch(r"\d+(\[\])?(\.\w+)?", name) for name in ids):
            raise RefusedError(f"illegal -W value: {text}")
        job["depend"] += [(word, name) for name in ids]


# The server ---------------------------------------------------------------------------------------------------------


def install(folder):
    """Make a server in a folder and return the folder of its commands."""
    for name in ("bin", "jobs", "places", "home"):
        (folder / name).mkdir(parents=True)
    for name in ("qsub", "qstat", "qdel"):
        program = folder / "bin" / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {name} {folder} "$@"\n')
        program.chmod(0o755)
    return folder / "bin"


def load(folder, number):
    try:
        return json.loads((folder / "jobs" / f"{number}.json").read_text())
    except OSError:
        raise RefusedError(f"Unknown Job Id {number}") from None


def save(folder, job):
    path = folder / "jobs" / f"{job['number']}.json"
    part = path.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(job))
    part.replace(path)


def jobs(folder):
    return [load(folder, path.stem) for path in sorted((folder / "jobs").glob("*.json"), key=lambda p: int(p.stem))]


def number_of(name):
    return int(re.match(r"\d+", name)[0])


def qsub(folder, words):
    given, rest = options_of(words)
    if len(rest) > 1:
        raise RefusedError(f"one script alone: {rest}")
    text = Path(rest[0]).read_text() if rest else sys.stdin.read()
    written, more = options_of(directives(text))
    if more:
        raise RefusedError(f"directive failed: {more}")
    options = written | {k: v for k, v in given.items() if k not in "lW"}
    for letter in "lW":
        options[letter] = written.get(letter, []) + given.get(letter, [])
    job = checked({"N": Path(rest[0]).name if rest else "STDIN"} | options)
    for _, name in job["depend"]:
        if load(folder, number_of(name))["id"] not in (name, name + f".{SERVER}"):
            raise RefusedError(f"Unknown Job Id {name}")
    number = next(n for n in range(1, 10**6) if _claimed(folder / "jobs" / f"{n}.sh"))
    (folder / "jobs" / f"{number}.sh").write_text(text)
    job |= {"number": number, "id": f"{number}{'[]' if job['indices'] else ''}.{SERVER}", "state": QUEUED, "exit": None}
    job |= {"options": options, "elements": {}, "from": str(Path.cwd())}
    save(folder, job)
    null = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.Popen([sys.executable, __file__, "serve", folder, str(number)], start_new_session=True, **null)
    print(job["id"])


def _claimed(path):
    try:
        path.open("x").close()
    except FileExistsError:
        return False
    return True


def serve(folder, words):
    """Hold a job until its dependencies are met, then run its elements."""
    job = load(folder, words[0])
    for kind, name in job["depend"]:
        while (other := load(folder, number_of(name)))["state"] != FINISHED:
            time.sleep(0.1)
        if (kind == "afterok" and other["exit"] != 0) or (kind == "afternotok" and other["exit"] == 0):
            save(folder, job | {"state": FINISHED, "exit": None})  # it can never run
            return
    waiting, running = list(job["indices"] or [None]), {}
    job["state"] = RUNNING
    while waiting or running:
        if waiting and len(running) < (job["at_once"] or PLACES) and (place := _free(folder)):
            index = waiting.pop(0)
            running[index] = (_start(folder, job, index), time.monotonic(), place)
        for index, (process, began, place) in list(running.items()):
            if job["walltime"] and time.monotonic() - began > job["walltime"] and process.poll() is None:
                _end(process)
            if process.poll() is not None:
                job["elements"][str(index)] = process.returncode
                place.unlink()
                del running[index]
        save(folder, job | {"processes": [process.pid for process, *_ in running.values()]})
        time.sleep(0.05)
    # OpenPBS reports success for an array whatever its elements did.
    save(folder, job | {"state": FINISHED, "exit": 0 if job["indices"] else job["elements"]["None"]})


def _free(folder):
    for number in range(PLACES):
        place = folder / "places" / str(number)
        if _claimed(place):
            return place
    return None


def _start(folder, job, index):
    number, home = job["number"], folder / "home"
    name = f"{number}[{index}].{SERVER}" if index is not None else job["id"]
    environment = {
        "HOME": str(home),
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "USER": "someone",
        "PBS_JOBID": name,
        "PBS_JOBNAME": job["name"],
        "PBS_O_WORKDIR": job["from"],
        "PBS_ENVIRONMENT": "PBS_BATCH",
    }
    if "V" in job["options"]:
        environment = os.environ | environment
    if index is not None:
        environment |= {"PBS_ARRAY_INDEX": str(index), "PBS_ARRAY_ID": job["id"]}
    default = f"{job['name'][:15]}.o{number}" + (f".{index}" if index is not None else "")
    wanted = job["options"].get("o", str(folder / "home") + "/")
    path = Path(wanted) / f"{name}.OU" if Path(wanted).is_dir() and "o" in job["options"] else Path(wanted) / default
    output = (path if Path(wanted).is_dir() else Path(wanted)).open("wb")
    shell = ["/bin/bash", folder / "jobs" / f"{number}.sh"]
    return subprocess.Popen(
        shell, cwd=home, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
    )


def _end(process):
    """End an element at its wall time: a warning, then by force."""
    for sent, patience in ((signal.SIGTERM, 1), (signal.SIGKILL, 5)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sent)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)


def qdel(folder, words):
    for name in words:
        job = load(folder, number_of(name))
        if job["state"] == FINISHED:
            raise RefusedError(f"Job has finished {name}")
        for pid in job.get("processes", []):
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGTERM)


def qstat(folder, words):
    words, everything, asked = list(words), False, []
    while words:
        word = words.pop(0)
        if word == "-u":
            words.pop(0)
        elif word == "-x":
            everything = True
        elif word.startswith("-") and word != "-t":
            raise RefusedError(f"illegal option {word}")
        elif not word.startswith("-"):
            asked.append(load(folder, number_of(word)))
    if asked and asked[0]["state"] == FINISHED and not everything:
        raise RefusedError(f"{asked[0]['id']} Job has finished, use -x or -H to obtain historical job information")
    for job in asked or jobs(folder):
        if everything or job["state"] != FINISHED:
            print(job["id"], job["name"], job["state"])


def main():
    command, folder, *words = sys.argv[1:]
    try:
        {"qsub": qsub, "qstat": qstat, "qdel": qdel, "serve": serve}[command](Path(folder), words)
    except RefusedError as error:
        print(f"{command}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
