"""Bookinfo's services one by one, over real HTTP: routes, JSON shapes, defaults and deliberate faults (no tracing here)."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import details
import faults
import productpage
import pytest
import ratings
import requests
import reviews
from flask import Flask, jsonify, request
from upstreams import base_url

BOOKINFO = Path(__file__).parents[2] / "examples" / "bookinfo"


class Clock:
    """Seconds, moved by hand."""

    now = 1000.0

    def __call__(self):
        return self.now


def environment_for(**urls):
    """Bookinfo's variables for services at ``urls``."""
    environment = {}
    for name, url in urls.items():
        environment[f"{name.upper()}_HOSTNAME"] = urlsplit(url).hostname
        environment[f"{name.upper()}_SERVICE_PORT"] = str(urlsplit(url).port)
    return environment


@pytest.fixture
def dead_url():
    """An address at which nobody listens: the port is bound, so nobody else can get it, and refuses connections."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{holder.getsockname()[1]}"


@pytest.fixture
def ratings_url(start):
    return start(ratings.create_app(faults.Faults("v1")))


@pytest.fixture
def shop(start, ratings_url):
    """All four services, reviews as v3; the address of productpage."""
    details_url = start(details.create_app())
    v3 = {
        **environment_for(ratings=ratings_url),
        "ENABLE_RATINGS": "true",
        "STAR_COLOR": "red",
        "HOSTNAME": "reviews-v3",
    }
    reviews_url = start(reviews.create_app(v3))
    return start(
        productpage.create_app(environment_for(details=details_url, reviews=reviews_url, ratings=ratings_url)),
    )


# Where the others are


def test_addresses_default_to_the_service_name_and_9080():
    assert base_url("details", {}) == "http://details:9080"


def test_addresses_follow_hostname_domain_and_port():
    environment = {"RATINGS_HOSTNAME": "stars", "RATINGS_SERVICE_PORT": "81", "SERVICES_DOMAIN": "shop.svc"}
    assert base_url("ratings", environment) == "http://stars.shop.svc:81"


# details


def test_details_answers_the_book(start):
    url = start(details.create_app())
    assert requests.get(f"{url}/details/7", timeout=5).json() == {
        "id": 7,
        "author": "William Shakespeare",
        "year": 1595,
        "type": "paperback",
        "pages": 200,
        "publisher": "PublisherA",
        "language": "English",
        "ISBN-10": "1234567890",
        "ISBN-13": "123-1234567890",
    }
    assert requests.get(f"{url}/health", timeout=5).json() == {"status": "Details is healthy"}


@pytest.mark.parametrize("bad", ["abc", "1.5", "\u0663", "9" * 5000, "-1"])
def test_details_and_ratings_refuse_ids_that_are_not_numbers(start, ratings_url, bad):
    url = start(details.create_app())
    for address in (f"{url}/details/{bad}", f"{ratings_url}/ratings/{bad}"):
        response = requests.get(address, timeout=5)
        assert (response.status_code, list(response.json())) == (400, ["error"])


# ratings


def test_ratings_answers_two_reviewers(ratings_url):
    assert requests.get(f"{ratings_url}/ratings/0", timeout=5).json() == {
        "id": 0,
        "ratings": {"Reviewer1": 5, "Reviewer2": 4},
    }
    assert requests.get(f"{ratings_url}/health", timeout=5).json() == {"status": "Ratings is healthy"}


def test_posted_ratings_are_kept_for_that_book_only(ratings_url):
    posted = requests.post(f"{ratings_url}/ratings/3", json={"Reviewer1": 1}, timeout=5)
    assert posted.json() == {"id": 3, "ratings": {"Reviewer1": 1}}
    assert requests.get(f"{ratings_url}/ratings/3", timeout=5).json()["ratings"] == {"Reviewer1": 1}
    assert requests.get(f"{ratings_url}/ratings/0", timeout=5).json()["ratings"] == {"Reviewer1": 5, "Reviewer2": 4}


@pytest.mark.parametrize(("path", "body"), [("x", b"{}"), ("1", b""), ("1", b"{"), ("1", b"[5]")])
def test_posted_nonsense_is_refused(ratings_url, path, body):
    response = requests.post(f"{ratings_url}/ratings/{path}", data=body, timeout=5)
    assert (response.status_code, list(response.json())) == (400, ["error"])


def test_v_faulty_fails_by_chance(start):
    chances = iter([0.49, 0.5])
    url = start(ratings.create_app(faults.Faults("v-faulty", chance=lambda: next(chances))))
    assert [requests.get(f"{url}/ratings/0", timeout=5).status_code for _ in range(2)] == [503, 200]


def test_v_delayed_sleeps_seven_seconds_by_chance(start):
    chances, naps = iter([0.49, 0.5]), []
    url = start(ratings.create_app(faults.Faults("v-delayed", chance=lambda: next(chances)), sleep=naps.append))
    assert [requests.get(f"{url}/ratings/0", timeout=5).status_code for _ in range(2)] == [200, 200]
    assert naps == [7.0, 0.0]


@pytest.mark.parametrize(
    ("version", "period", "health"), [("v-unavailable", 60, [200, 200, 200]), ("v-unhealthy", 900, [200, 500, 200])]
)
def test_unavailable_versions_take_turns(start, version, period, health):
    """Both start well, fail for one period, recover for the next; only v-unhealthy says so on /health."""
    clock = Clock()
    url = start(ratings.create_app(faults.Faults(version, clock=clock)))
    seen = []
    for _ in range(3):
        statuses = [requests.get(f"{url}{path}", timeout=5).status_code for path in ("/ratings/0", "/health")]
        seen.append(tuple(statuses))
        clock.now += period
    assert seen == list(zip([200, 503, 200], health, strict=True))


@pytest.mark.parametrize("version", ["v1", "v2", "anything"])
def test_other_versions_have_no_faults(version):
    flawless = faults.Faults(version, chance=lambda: 0.0)
    assert (flawless.delay(), flawless.unavailable(), flawless.healthy()) == (0.0, False, True)


# reviews


def test_reviews_v1_has_no_ratings_and_calls_nobody(start):
    url = start(reviews.create_app({}))
    body = requests.get(f"{url}/reviews/0", timeout=5).json()
    assert {name: body[name] for name in ("id", "podname", "clustername")} == {
        "id": "0",
        "podname": "null",
        "clustername": "null",
    }
    assert [sorted(review) for review in body["reviews"]] == [["reviewer", "text"]] * 2
    assert requests.get(f"{url}/health", timeout=5).json() == {"status": "Reviews is healthy"}
    assert requests.get(f"{url}/reviews/x", timeout=5).status_code == 404


@pytest.mark.parametrize("color", ["black", "red"])
def test_reviews_v2_and_v3_show_stars_of_their_color(start, ratings_url, color):
    environment = {"ENABLE_RATINGS": "true", "STAR_COLOR": color, "HOSTNAME": "pod-1", "CLUSTER_NAME": "east"}
    url = start(reviews.create_app({**environment_for(ratings=ratings_url), **environment}))
    body = requests.get(f"{url}/reviews/0", timeout=5).json()
    assert [review["rating"] for review in body["reviews"]] == [
        {"stars": 5, "color": color},
        {"stars": 4, "color": color},
    ]
    assert (body["podname"], body["clustername"]) == ("pod-1", "east")


@pytest.mark.parametrize(("color", "seconds"), [(None, 10.0), ("black", 10.0), ("red", 2.5)])
def test_reviews_waits_ten_seconds_if_black_else_two_and_a_half(start, monkeypatch, ratings_url, color, seconds):
    """The deliberate mismatch with productpage's 3 s."""
    waits, get = [], requests.get

    def recording_get(url, **options):
        waits.append(options["timeout"])
        return get(url, **options)

    environment = {**environment_for(ratings=ratings_url), "ENABLE_RATINGS": "true"}
    url = start(reviews.create_app(environment | ({"STAR_COLOR": color} if color else {})))
    monkeypatch.setattr(reviews.requests, "get", recording_get)
    assert get(f"{url}/reviews/0", timeout=5).ok
    assert waits == [seconds]


def test_reviews_without_ratings_shows_an_error_for_each_rating(start, dead_url):
    url = start(reviews.create_app({**environment_for(ratings=dead_url), "ENABLE_RATINGS": "true"}))
    response = requests.get(f"{url}/reviews/0", timeout=5)
    assert response.status_code == 200
    assert [list(review["rating"]) for review in response.json()["reviews"]] == [["error"]] * 2


@pytest.mark.parametrize("answer", [b"no json", b"[]", b'{"ratings": [1]}', b'{"ratings": {"Somebody": 1}}'])
def test_reviews_survives_nonsense_from_ratings(start, answer):
    stub = Flask("stub")
    stub.add_url_rule("/ratings/0", view_func=lambda: answer)
    url = start(reviews.create_app({**environment_for(ratings=start(stub)), "ENABLE_RATINGS": "true"}))
    response = requests.get(f"{url}/reviews/0", timeout=5)
    assert response.status_code == 200
    assert [list(review["rating"]) for review in response.json()["reviews"]] == [["error"]] * 2


# productpage


def test_the_page_shows_title_details_reviews_and_stars(shop):
    page = requests.get(f"{shop}/productpage", timeout=5)
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")
    for text in ("The Comedy of Errors", "William Shakespeare", "PublisherA", "Reviewer2", "5 of 5", "reviews-v3"):
        assert text in page.text
    assert 'class="stars red"' in page.text
    assert "unavailable for" not in page.text


def test_the_pages_load_nothing_from_elsewhere(shop):
    """The demonstration works on a machine without the internet."""
    for path in ("/", "/index.html", "/productpage"):
        text = requests.get(f"{shop}{path}", timeout=5).text
        assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//|@import|url\(""", text)


def test_the_api_gives_products_details_reviews_and_ratings(shop):
    products = requests.get(f"{shop}/api/v1/products", timeout=5).json()
    assert [(sorted(product), product["id"]) for product in products] == [(["descriptionHtml", "id", "title"], 0)]
    assert requests.get(f"{shop}/api/v1/products/0", timeout=5).json()["publisher"] == "PublisherA"
    assert len(requests.get(f"{shop}/api/v1/products/0/reviews", timeout=5).json()["reviews"]) == 2
    assert requests.get(f"{shop}/api/v1/products/0/ratings", timeout=5).json()["ratings"]["Reviewer1"] == 5


def test_health_is_short_text(shop):
    response = requests.get(f"{shop}/health", timeout=5)
    assert (response.status_code, response.text) == (200, "Product page is healthy")


def test_an_upstream_error_status_is_handed_on_with_an_apology(shop):
    response = requests.get(f"{shop}/api/v1/products/abc", timeout=5)
    assert (response.status_code, list(response.json())) == (400, ["error"])


def test_metrics_count_answers_by_service_and_status(shop):
    requests.get(f"{shop}/productpage", timeout=5)
    requests.get(f"{shop}/api/v1/products/abc", timeout=5)
    metrics = requests.get(f"{shop}/metrics", timeout=5)
    assert metrics.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert metrics.text.splitlines()[1:] == [
        "# TYPE request_result_total counter",
        'request_result_total{destination_app="details",response_code="200"} 1',
        'request_result_total{destination_app="details",response_code="400"} 1',
        'request_result_total{destination_app="reviews",response_code="200"} 1',
    ]


def test_without_the_other_services_the_page_still_stands(start, dead_url):
    url = start(productpage.create_app(environment_for(details=dead_url, reviews=dead_url, ratings=dead_url)))
    page = requests.get(f"{url}/productpage", timeout=10)
    assert page.status_code == 200
    assert page.text.count("currently unavailable for this book") == 2
    for part in ("", "/reviews", "/ratings"):
        response = requests.get(f"{url}/api/v1/products/0{part}", timeout=10)
        assert (response.status_code, list(response.json())) == (500, ["error"])


def test_reviews_are_tried_twice_and_details_once(start):
    """Bookinfo's deliberate defect."""
    calls = []
    stub = Flask("stub")

    @stub.get("/<service>/<product_id>")
    def failing(service, product_id):
        calls.append(service)
        return jsonify(error="broken"), 503

    url = start(stub)
    page = start(productpage.create_app(environment_for(details=url, reviews=url, ratings=url)))
    assert requests.get(f"{page}/productpage", timeout=5).status_code == 200
    assert calls == ["details", "reviews", "reviews"]


def test_the_second_try_may_succeed(start):
    answers = iter([503, 200])
    stub = Flask("stub")
    stub.add_url_rule("/reviews/0", view_func=lambda: (jsonify(reviews=[]), next(answers)))
    page = start(productpage.create_app(environment_for(reviews=start(stub))))
    assert requests.get(f"{page}/api/v1/products/0/reviews", timeout=5).status_code == 200


def test_a_call_is_given_up_after_three_seconds(start, monkeypatch):
    """The figure is checked as a figure; that it is obeyed, with a smaller one."""
    assert productpage.TIMEOUT == 3.0
    monkeypatch.setattr(productpage, "TIMEOUT", 0.05)
    gone = threading.Event()
    stub = Flask("stub")
    stub.add_url_rule("/details/0", view_func=lambda: "late" if gone.wait(30) else "never")
    page = start(productpage.create_app(environment_for(details=start(stub))))
    assert requests.get(f"{page}/api/v1/products/0", timeout=30).status_code == 500
    gone.set()


@pytest.mark.parametrize("answer", [b"no json", b"[]"])
def test_nonsense_from_another_service_counts_as_unavailable(start, answer):
    stub = Flask("stub")
    stub.add_url_rule("/details/0", view_func=lambda: answer)
    page = start(productpage.create_app(environment_for(details=start(stub))))
    assert requests.get(f"{page}/api/v1/products/0", timeout=5).status_code == 500


def test_the_user_signs_in_and_the_name_travels_to_reviews_and_ratings(start):
    """``end-user`` is what Bookinfo's routing lessons match on."""
    names = []
    stub = Flask("stub")

    @stub.get("/<service>/<product_id>")
    def recording(service, product_id):
        names.append((service, request.headers.get("end-user")))
        return jsonify(ratings={})

    stub_url = start(stub)
    v2 = {**environment_for(ratings=stub_url), "ENABLE_RATINGS": "true"}
    page = start(productpage.create_app(environment_for(details=stub_url, reviews=start(reviews.create_app(v2)))))
    browser = requests.Session()
    answer = browser.post(
        f"{page}/login",
        data={"username": "jason"},
        headers={"Referer": "http://elsewhere.example/productpage?u=1"},
        allow_redirects=False,
        timeout=5,
    )
    assert (answer.status_code, answer.headers["Location"]) == (302, "/productpage")
    assert "jason" in browser.get(f"{page}/productpage", timeout=5).text
    assert names == [("details", "jason"), ("ratings", "jason")]
    browser.get(f"{page}/logout", timeout=5)
    assert names[2:] == [("details", None), ("ratings", None)]


def test_flood_factor_adds_that_many_calls_to_reviews(start):
    calls = []
    stub = Flask("stub")

    @stub.get("/<service>/<product_id>")
    def counting(service, product_id):
        calls.append(service)
        return jsonify(reviews=[])

    url = start(stub)
    environment = {**environment_for(details=url, reviews=url), "FLOOD_FACTOR": "5"}
    page = start(productpage.create_app(environment))
    assert requests.get(f"{page}/productpage", timeout=10).status_code == 200
    assert (calls.count("details"), calls.count("reviews")) == (1, 6)


def test_a_flood_factor_that_is_no_number_is_refused_at_start():
    with pytest.raises(ValueError, match="FLOOD_FACTOR must be a number"):
        productpage.create_app({"FLOOD_FACTOR": "many"})


# The process


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_service_is_a_process_that_ends_cleanly(how, tmp_path):
    """Either signal ends it through the interpreter's exit, so that whatever is registered with atexit still runs."""
    (tmp_path / "sitecustomize.py").write_text("import atexit\natexit.register(print, 'goodbye', flush=True)\n")
    process = subprocess.Popen(
        [sys.executable, str(BOOKINFO / "details.py"), "--port", "0"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        address = process.stdout.readline().split()[-1]
        assert requests.get(f"{address}/health", timeout=5).ok
        process.send_signal(how)
        rest, _ = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, rest) == (0, "goodbye\n")


def test_the_port_may_come_from_the_environment():
    result = subprocess.run(
        [sys.executable, str(BOOKINFO / "ratings.py")],
        env={**os.environ, "PORT": "ninety"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert "invalid int value: 'ninety'" in result.stderr
