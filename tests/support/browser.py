"""A browser, and what a person does on a page that is renewed under their hands."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING, Any

from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from selenium.webdriver.remote.webelement import WebElement


@contextlib.contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """Start Debian's Chromium."""
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = shutil.which("chromedriver")
    assert driver, "chromium-driver is not installed"
    with webdriver.Chrome(options, webdriver.ChromeService(driver)) as chrome:
        chrome.implicitly_wait(10)
        yield chrome


class Page:
    """What is on it may be replaced at any moment by what it was renewed with."""

    def __init__(self, browser: webdriver.Chrome) -> None:
        self._wait = WebDriverWait(
            browser,
            30,
            ignored_exceptions=[StaleElementReferenceException, NoSuchElementException],
        )

    def at(self, css: str, action: Callable[[WebElement], Any]) -> None:
        """Wait until an element is there, and an action on it gives no False."""
        self._wait.until(lambda page: action(page.find_element(By.CSS_SELECTOR, css)) is not False)

    def click(self, css: str) -> None:
        self.at(css, lambda element: element.click())

    def shows(self, css: str, text: str) -> None:
        self.at(css, lambda element: text in element.text)
