"""--ui-dir: a build of Jaeger's UI gets our configuration, its files and no others."""

from __future__ import annotations

import http.client
import json
import re
from contextlib import closing
from urllib.parse import urlsplit

import pytest
import requests

from sls_tracing.backend.query_api import query_app
from sls_tracing.backend.query_settings import QuerySettings
from sls_tracing.backend.serving import under
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.log_service import TraceStore, open_trace_store

# The parts of index.html that each generation offers to be replaced, in a page of our own.
BASE = '<base href="/" data-inject-target="BASE_URL" />'
SCRIPT = """
    <script>
      function getJaegerUiConfig() {
        const DEFAULT_CONFIG = null;
        const JAEGER_CONFIG = DEFAULT_CONFIG;
        return JAEGER_CONFIG;
      }
      // JAEGER_CONFIG_JS
      // the line after the mark goes, too
"""
STORAGE = """
      const DEFAULT_STORAGE_CAPABILITIES = { archiveStorage: false };
      const JAEGER_STORAGE_CAPABILITIES = DEFAULT_STORAGE_CAPABILITIES;
"""
BACKEND = """
      const DEFAULT_BACKEND_CAPABILITIES = {};
      const JAEGER_BACKEND_CAPABILITIES   =   DEFAULT_BACKEND_CAPABILITIES;
"""
VERSION = """
      const DEFAULT_VERSION = {'gitCommit':'', 'gitVersion':'', 'buildDate':''};
      const JAEGER_VERSION = DEFAULT_VERSION;
    </script>
"""
PAGES = {
    "1.30 to 2.17": BASE + SCRIPT + STORAGE + VERSION,
    "2.18 and 2.19": SCRIPT + STORAGE + VERSION,
    "2.20": SCRIPT + STORAGE + BACKEND + VERSION,
}


@pytest.fixture
def store():
    with closing(open_trace_store("memory:")) as store:
        yield store


@pytest.fixture
def build(tmp_path):
    """A folder like a build of the UI, and secrets beside it."""
    folder = tmp_path / "build"
    (folder / "static").mkdir(parents=True)
    (folder / "index.html").write_text(f"<!doctype html><head>{PAGES['1.30 to 2.17']}</head><body>ui</body>")
    (folder / "static" / "main-abc.js").write_text("main();")
    (folder / "static" / "style.css").write_text("body{}")
    (folder / "secret.txt").write_text("inside the build, outside of static")
    (tmp_path / "secret.txt").write_text("outside")
    (folder / "static" / "link.txt").symlink_to(tmp_path / "secret.txt")
    return folder


@pytest.fixture
def page(store, build, serve):
    """A function that serves the build with a page and settings, and returns the page as a browser gets it."""

    def fetch(html=None, path="/search", base_path="", **settings):
        if html is not None:
            (build / "index.html").write_text(html)
        app = query_app(store, settings=QuerySettings(ui_dir=str(build), **settings))
        response = requests.get(serve(under(base_path, app)) + base_path + path, timeout=30)
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/html")
        return response.text

    return fetch


def assigned(html, name):
    """Return the JSON that the page assigns."""
    return json.loads(re.search(rf"const JAEGER_{name} = (.*);\n", html)[1])


@pytest.mark.parametrize("generation", PAGES)
def test_every_generation_is_told_what_the_server_can(page, generation):
    """Archive, metrics and version; what a page does not offer is not needed."""
    html = page(PAGES[generation])
    assert assigned(html, "STORAGE_CAPABILITIES") == {"archiveStorage": True, "metricsStorage": True}
    if "BACKEND" in PAGES[generation]:
        expected = {"archiveStorage": True, "metricsStorage": True, "aiAssistant": False}
        assert assigned(html, "BACKEND_CAPABILITIES") == expected
    assert assigned(html, "VERSION")["gitVersion"].startswith("sls-tracing ")
    assert "JAEGER_CONFIG = DEFAULT_CONFIG;" in html
    assert "JAEGER_CONFIG_JS" in html


def test_a_store_without_archive_has_no_button_for_it(build, store, serve):
    url = serve(query_app(TraceStore(store.logstore), settings=QuerySettings(ui_dir=str(build))))
    assert assigned(requests.get(url, timeout=30).text, "STORAGE_CAPABILITIES")["archiveStorage"] is False


@pytest.mark.parametrize("generation", PAGES)
def test_a_json_configuration_is_put_in(page, tmp_path, generation):
    """Nothing in it can end the script that it stands in."""
    config = {"menu": [{"label": "</script><script>alert(1)</script>", "url": "x"}], "tracking": {"gaID": None}}
    (tmp_path / "ui.json").write_text(json.dumps(config))
    html = page(PAGES[generation], ui_config=str(tmp_path / "ui.json"))
    assert assigned(html, "CONFIG") == config
    assert html.count("</script>") == 1


@pytest.mark.parametrize("generation", PAGES)
def test_a_script_takes_the_place_of_its_mark_and_the_next_line(page, tmp_path, generation):
    r"""As it is, backslashes and all."""
    script = 'function UIConfig() {\n  return { a: "\\1 \\g<0>" };\n}'
    (tmp_path / "ui.js").write_text(script)
    html = page(PAGES[generation], ui_config=str(tmp_path / "ui.js"))
    assert script in html
    assert "JAEGER_CONFIG_JS" not in html
    assert "the line after the mark" not in html
    assert "JAEGER_VERSION" in html


def test_the_base_path_is_told_to_pages_that_ask(page):
    """<base href> of UIs up to 2.17; without a base path it stays."""
    assert '<base href="/jaeger/ui/" data-inject-target' in page(base_path="/jaeger/ui")
    assert '<base href="/" data-inject-target' in page()


@pytest.mark.parametrize(
    "path", ["/", "/search", "/trace/abc", "/trace/a...b", "/dependencies", "/monitor", "/some/thing"]
)
def test_every_path_of_the_ui_is_its_page(page, path):
    """The UI reads its address by itself."""
    assert "<body>ui</body>" in page(f"<body>ui</body>{SCRIPT}", path)


@pytest.mark.parametrize("base_path", ["", "/jaeger"])
def test_the_api_is_never_a_page(store, build, serve, base_path):
    """Unknown paths below /api are 404 in JSON; known ones answer as ever; no page of our own is left."""
    url = serve(under(base_path, query_app(store, settings=QuerySettings(ui_dir=str(build))))) + base_path
    for path in ("/api/nothing", "/api/v3/nothing", "/api/", "/api", "/api/traces/1/2"):
        response = requests.get(url + path, timeout=30)
        assert response.status_code == 404, path
        assert response.json()
    assert requests.get(url + "/api/services", timeout=30).json()["data"] == []
    assert requests.get(url + "/healthz", timeout=30).json() == {"status": "ok"}
    assert "ui</body>" in requests.get(url + "/analyse", timeout=30).text
    assert requests.post(url + "/search", timeout=30).status_code == 405


def test_files_under_static_are_served(store, build, serve):
    """With their types; what is not there is 404, never the page."""
    url = serve(query_app(store, settings=QuerySettings(ui_dir=str(build))))
    script = requests.get(url + "/static/main-abc.js", timeout=30)
    assert (script.text, script.status_code) == ("main();", 200)
    assert "javascript" in script.headers["content-type"]
    assert requests.get(url + "/static/style.css", timeout=30).headers["content-type"].startswith("text/css")
    assert requests.get(url + "/static/none.js", timeout=30).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/static/../secret.txt", "/static/../../secret.txt", "/static/%2e%2e/secret.txt", "/static/%2e%2e%2fsecret.txt",
        "/static/..%5csecret.txt", "/static//etc/passwd", "/static/%2fetc%2fpasswd", "/static/link.txt", "/static/",
        "/static/....//secret.txt", "/static/%00", "/static/main-abc.js%00.txt", "/secret.txt", "/../secret.txt", "//secret.txt",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_static(store, build, serve, path):
    """Dots, encoded or not, absolute paths, links: 404, or the UI's page; never another file, never a failure."""
    url = urlsplit(serve(query_app(store, settings=QuerySettings(ui_dir=str(build)))))
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)  # sends the path as it is
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    assert "inside the build" not in body
    assert "outside" not in body
    assert "root:" not in body
    assert response.status == 404 or "<body>ui</body>" in body


def test_what_cannot_be_served_is_refused_at_start(store, build, tmp_path):
    """With the remedy: no page, a configuration that is missing, broken, of another kind, or that the page has no room for."""
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "bad.js").write_text("var x = 1;")
    (tmp_path / "good.js").write_text("function UIConfig() { return {}; }")
    (tmp_path / "ui.yaml").write_text("a: 1")
    cases = [
        ({"ui_dir": str(tmp_path / "none")}, "index.html and static/"),
        ({"ui_config": str(tmp_path / "none.json")}, "No such file"),
        ({"ui_config": str(tmp_path / "bad.json")}, "not JSON"),
        ({"ui_config": str(tmp_path / "list.json")}, "JSON object"),
        ({"ui_config": str(tmp_path / "bad.js")}, "UIConfig"),
        ({"ui_config": str(tmp_path / "ui.yaml")}, ".json or a .js"),
    ]
    for settings, message in cases:
        with pytest.raises(ConfigurationError, match=re.escape(message)):
            query_app(store, settings=QuerySettings(**{"ui_dir": str(build), **settings}))
    (build / "index.html").write_text("<body></body>")
    with pytest.raises(ConfigurationError, match="takes no script"):
        query_app(store, settings=QuerySettings(ui_dir=str(build), ui_config=str(tmp_path / "good.js")))
