"""What is cut out of addresses and texts, and what is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_tracing.instrumentation._redaction import redact_text, redact_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h/p?a=1&b=2", "http://h/p?a=1&b=2"),
        ("http://user:pw@h:80/p", "http://h:80/p"),
        ("http://user@h", "http://h"),
        ("http://a:b@c@h/p@q", "http://h/p@q"),
        ("//user:pw@h/p", "//h/p"),
        ("/users/ann@example.org?to=bob@example.org", "/users/ann@example.org?to=bob@example.org"),
        ("http://h/p?token=x#access_token=y", "http://h/p?token=REDACTED"),
        ("http://h/?AWSAccessKeyId=x&Signature=y&X-Amz-Credential=z", "http://h/?AWSAccessKeyId=REDACTED&Signature=REDACTED&X-Amz-Credential=REDACTED"),
        ("http://h/?sig=x&KEY=y&authKey=z", "http://h/?sig=REDACTED&KEY=REDACTED&authKey=REDACTED"),
        ("http://h/?keyword=x&monkey=y&design=z&author=a&encoding=b", "http://h/?keyword=x&monkey=y&design=z&author=a&encoding=b"),
        ("http://h/?%70assword=x&a=1;token=y", "http://h/?%70assword=REDACTED&a=1;token=REDACTED"),
        ("http://h/?token&token=&=x&?&&", "http://h/?token&token=&=x&?&&"),
        ("", ""),
    ],
)  # fmt: skip
def test_urls(url, expected) -> None:
    """Credentials go, names stay, everything else is as it was."""
    assert redact_url(url) == expected


def test_texts_that_quote_addresses() -> None:
    """As urllib3 and requests write them."""
    text = "HTTPConnectionPool(host='h', port=80): Max retries exceeded with url: /p?a=1&api_key=s3cret (Caused by 'x')"
    assert redact_text(text) == text.replace("s3cret", "REDACTED")
    assert redact_text("cannot parse http://ann:s3cret@h/p?q=1 at all") == "cannot parse http://h/p?q=1 at all"
    assert redact_text("a == b; c = d") == "a == b; c = d"


@given(st.text())
def test_any_text_may_come(text) -> None:
    """Never an exception; redacting twice changes nothing more."""
    assert redact_url(redact_url(text)) == redact_url(text)
    assert redact_text(redact_text(text)) == redact_text(text)


@given(st.text(alphabet="ab/:@?=&#"), st.sampled_from(["token", "Password", "x_api_key"]))
def test_a_secret_is_never_left(prefix, name) -> None:
    """Wherever the parameter stands in the query."""
    assert "s3cret" not in redact_url(f"http://h/?{prefix.replace('#', '')}&{name}=s3cret")
