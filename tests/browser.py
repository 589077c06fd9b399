"""A real browser without a window, driven through ChromeDriver's HTTP interface (W3C WebDriver)."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

DRIVER = shutil.which("chromedriver")
_QUIET = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"),
)


class Browser:
    """One page in a view of the given width in CSS pixels."""

    def __init__(self, profile: Path, width: int, height: int = 900) -> None:
        assert DRIVER is not None
        self._process = subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        started = next(line for line in self._process.stdout if "started successfully" in line)
        self._address = f"http://127.0.0.1:{re.findall(r'[0-9]+', started)[-1]}/session"
        options = {
            "args": [*_QUIET, f"--user-data-dir={profile}"],
            "mobileEmulation": {
                "deviceMetrics": {"width": width, "height": height, "pixelRatio": 1, "touch": False}
            },
        }
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self._ask("", {"capabilities": {"alwaysMatch": wanted}})
        self._address += f"/{session['sessionId']}"

    def open(self, page: Path, *, dark: bool = False) -> None:
        """Load a file; returns when it is there."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.command("Emulation.setEmulatedMedia", features=scheme)
        self._ask("/url", {"url": page.as_uri()})

    def run(self, script: str) -> Any:
        """What a function body of JavaScript returns."""
        return self._ask("/execute/sync", {"script": script, "args": []})

    def messages(self) -> list[str]:
        """What the page has put on the console since it was last asked: errors, warnings, refusals."""
        return [entry["message"] for entry in self._ask("/se/log", {"type": "browser"})]

    def picture(self, file: Path, height: int | None = None) -> None:
        """A PNG of the page from its top, of all of it by default."""
        width, whole = self.run("return [innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": width, "height": height or whole, "scale": 1}
        shot = self.command("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        file.write_bytes(base64.b64decode(shot["data"]))

    def paper(self, file: Path) -> None:
        """The page as it is printed, a PDF of A4 pages."""
        size = {"paperWidth": 8.27, "paperHeight": 11.69, "printBackground": False}
        file.write_bytes(base64.b64decode(self.command("Page.printToPDF", **size)["data"]))

    def command(self, method: str, **parameters: Any) -> Any:
        """One command of the DevTools protocol."""
        return self._ask("/goog/cdp/execute", {"cmd": method, "params": parameters})

    def close(self) -> None:
        """End the browser and its driver."""
        self._ask("", None)
        self._process.terminate()
        self._process.wait(20)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _ask(self, path: str, body: dict[str, Any] | None) -> Any:
        request = urllib.request.Request(
            self._address + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method="DELETE" if body is None else "POST",
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]
