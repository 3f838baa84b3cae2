"""A headless Chromium that is steered through its own pipe (Chrome DevTools Protocol): no driver, no port."""

import base64
import gzip
import json
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest

#: axe-core (Deque Systems, MPL-2.0), for tests alone: https://github.com/dequelabs/axe-core
AXE = Path(__file__).parent / "axe" / "axe-core-4.14.1.min.js.gz"
WEBGL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")

#: Parts of a page that scroll by themselves: how many the keyboard reaches, and how many not.
SCROLLING = (
    "(() => { const boxes = [...document.querySelectorAll('.scroll')].filter((b) => b.checkVisibility() && "
    "(b.scrollWidth > b.clientWidth + 1 || b.scrollHeight > b.clientHeight + 1)); "
    "const reached = boxes.filter((b) => b.tabIndex === 0).length; "
    "return {reached, lost: boxes.length - reached}; })()"
)


class Browser:
    """One page of a browser: what it told, asked for, and looks like."""

    def __init__(self, *options):
        self.program = shutil.which("chromium")
        if self.program is None:
            pytest.skip("Chromium is not installed (Debian: chromium)")
        self.home = tempfile.mkdtemp(prefix="browser-")
        read, self._out = os.pipe()
        self._in, write = os.pipe()
        words = [
            self.program,
            "--headless",
            "--no-sandbox",
            "--remote-debugging-pipe",
            "--no-first-run",
            "--disable-dev-shm-usage",
            f"--user-data-dir={self.home}",
            *(options or WEBGL),
        ]
        shell = ["bash", "-c", f'exec "$@" 3<&{read} 4>&{write}', "bash", *words]  # sh knows one digit alone
        self._process = subprocess.Popen(
            shell, pass_fds=(read, write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(read)
        os.close(write)
        self._number, self._rest, self.session = 0, b"", None
        self.console, self.requests, self.loaded = [], [], False
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method, **params):
        """Call a method and return its result; events meanwhile are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self._out, json.dumps(message).encode() + b"\0") if len(str(params)) < 60_000 else self._long(message)
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def _long(self, message):
        content = memoryview(json.dumps(message).encode() + b"\0")
        while content:
            content = content[os.write(self._out, content[:65_536]) :]

    def _next(self):
        while b"\0" not in self._rest:
            more = os.read(self._in, 1 << 20)
            assert more, "the browser has ended"
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\0")
        message = json.loads(line)
        method, params = message.get("method"), message.get("params", {})
        if method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.console.append(" ".join(str(a.get("value", a.get("description"))) for a in params["args"]))
        elif method == "Runtime.exceptionThrown":
            self.console.append(str(params["exceptionDetails"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.console.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Page.loadEventFired":
            self.loaded = True
        return message

    def open(self, path, width=1280, scheme="light", media="", reduced=False, javascript=True):
        """Open a file at a width, with a colour scheme, as on a screen or on paper."""
        self.send("Emulation.setScriptExecutionDisabled", value=not javascript)
        self.look(width, scheme, media, reduced)
        self.visit(path.as_uri())

    def visit(self, address):
        """Open an address and wait until it is loaded."""
        self.console, self.requests, self.loaded = [], [], False
        self.send("Page.navigate", url=address)
        while not self.loaded:
            self._next()

    def look(self, width=1280, scheme="light", media="", reduced=False):
        """Set width, colour scheme and medium."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        features.append({"name": "prefers-reduced-motion", "value": "reduce" if reduced else "no-preference"})
        self.send("Emulation.setEmulatedMedia", media=media, features=features)

    def run(self, script):
        """Return what a script (an expression, a promise too) gives."""
        done = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait(self, script, seconds=60):
        """Wait until a script gives something true, and return it."""
        end = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < end, f"never true: {script}"
            time.sleep(0.1)
        return value

    def press(self, key, code=None):
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            typed = kind == "keyDown" and (len(key) == 1 or key == "Enter")
            text = {"text": "\r" if key == "Enter" else key} if typed else {}
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=code or key, **text)

    def problems(self):
        """Return the serious and critical problems that axe-core finds."""
        self.run(gzip.decompress(AXE.read_bytes()).decode() + ";0")
        return self.run(
            "axe.run({resultTypes: ['violations']}).then(r => r.violations.filter(v => "
            "['serious', 'critical'].includes(v.impact)).map(v => [v.id, v.nodes.length, v.nodes[0].html, "
            "v.nodes[0].failureSummary]))"
        )

    def picture(self, path):
        """Keep a picture of the whole page."""
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 16_000), "scale": 1}
        shot = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self):
        """End the browser."""
        with suppress(AssertionError, OSError):
            self.send("Browser.close")
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for end in (self._out, self._in):
            os.close(end)
        shutil.rmtree(self.home, ignore_errors=True)
