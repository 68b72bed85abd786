"""Take the pictures of the console that its page in the documentation shows.

It needs Debian's chromium and chromium-driver. A server of its own has the demo's scenery, and a
producer and a worker that sometimes fails at work there.
"""

from __future__ import annotations

import base64
import contextlib
import random
import shutil
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import scratch
import uvicorn
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from pgmq import Worker, demo
from pgmq._session import Session
from pgmq.web import application

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "python" / "docs" / "pictures"
WIDTH, HEIGHT = 1280, 820
PAGES = {
    "overview": "/",
    "queue": f"/queue?queue={demo.ORDERS}",
    "stream": f"/queue?queue={demo.EVENTS}",
    "health": "/health",
}
OTHERS = {"mail": "order.*", "invoices": "order.placed", "thumbnails": "image.*",
          "audit": "#", "newsletter": "customer.joined"}  # fmt: skip
KEYS = ["order.placed"] * 6 + ["order.paid", "image.added", "customer.joined"]
MOST = 150_000  # bytes of a picture


def main() -> int:
    """Write a light and a dark picture of each page."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 300.0
    PICTURES.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(scratch.server())
        with psycopg.connect(server.dsn(), autocommit=True) as session:
            session.execute("CREATE DATABASE demo")
        dsn = server.dsn("demo")
        with Session(dsn, name="pgmq screenshots") as session:
            session.connection.execute("CREATE EXTENSION pgmq")
            demo.furnish(session)
            decorate(session)
        url = stack.enter_context(served(application(dsn)))
        stack.enter_context(busy(dsn))
        print(f"Looking at {url} in {seconds:.0f} s", flush=True)
        time.sleep(seconds)
        for scheme in ("light", "dark"):
            take(url, scheme)
    return 0


def decorate(session: Session) -> None:
    """Make more queues than the demo has."""
    for queue, pattern in OTHERS.items():
        session.create_queue(queue)
        session.bind(demo.SHOP, queue, pattern)
    session.alter_policy("invoices", message_ttl="30 days", max_in_flight=10)
    session.pause("newsletter")
    session.schedule(
        "weekly", "newsletter", "0 9 * * mon", {"issue": "next"}, timezone="Europe/Berlin"
    )
    session.pause_schedule("weekly")
    session.send_batch("newsletter", [{"to": number} for number in range(400)])


@contextlib.contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve the console."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield f"http://localhost:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextlib.contextmanager
def busy(dsn: str) -> Iterator[None]:
    """Have messages come and go."""
    ended = threading.Event()
    chance = random.Random(1)  # noqa: S311

    def produce() -> None:
        with Session(dsn, name="shop") as session:
            while not ended.wait(chance.expovariate(4)):
                order = {"order": chance.randrange(1000), "total": chance.randrange(900) / 10}
                session.publish(demo.SHOP, chance.choice(KEYS), order)

    def read() -> None:
        with Session(dsn, name="billing") as session:
            while not ended.wait(chance.expovariate(1)):
                if batch := session.fetch(demo.EVENTS, "billing", qty=4):
                    session.commit(demo.EVENTS, "billing", *batch.lease)

    def handle(message: Any) -> None:
        if chance.random() < 0.05:
            raise ValueError("the card was refused")

    workers = [Worker(dsn, queue, handle) for queue in (demo.ORDERS, "mail", "thumbnails")]
    threads = [threading.Thread(target=each) for each in (produce, read)]
    threads += [threading.Thread(target=each.run) for each in workers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for worker in workers:
            worker.stop()
        for thread in threads:
            thread.join()


def take(url: str, scheme: str) -> None:
    """Take the pictures in one colour scheme."""
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage",
                     "--hide-scrollbars"):  # fmt: skip
        options.add_argument(argument)
    driver = shutil.which("chromedriver")
    if driver is None:
        raise SystemExit("chromium-driver is not installed")
    with webdriver.Chrome(options, webdriver.ChromeService(driver)) as browser:
        browser.set_window_size(WIDTH, HEIGHT)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        for name, path in PAGES.items():
            browser.get(url + path)
            WebDriverWait(browser, 60).until(
                lambda page: "It is looking" not in page.find_element(By.TAG_NAME, "main").text
            )
            picture = PICTURES / f"{name}-{scheme}.webp"
            picture.write_bytes(shot(browser))
            print(f"{picture.relative_to(ROOT)}: {picture.stat().st_size / 1000:.0f} kB")
            if picture.stat().st_size > MOST:
                raise SystemExit("that is more than a picture may have")


def shot(browser: webdriver.Chrome) -> bytes:
    """Take a picture of a page, down to its end or to twice the window's height."""
    height = browser.execute_script("return document.documentElement.scrollHeight")
    area = {"x": 0, "y": 0, "width": WIDTH, "height": min(height, 2 * HEIGHT), "scale": 1}
    found = browser.execute_cdp_cmd(
        "Page.captureScreenshot",
        {"format": "webp", "quality": 80, "captureBeyondViewport": True, "clip": area},
    )
    return base64.b64decode(found["data"])


if __name__ == "__main__":
    sys.exit(main())
