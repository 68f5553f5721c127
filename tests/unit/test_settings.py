"""The settings, and the error messages for invalid values."""

from __future__ import annotations

import dataclasses

import pytest

from flask_woo_events.errors import ConfigurationError
from flask_woo_events.settings import Settings, read_settings


def test_defaults() -> None:
    """Without any setting the defaults apply."""
    assert read_settings({"SECRET_KEY": "x"}) == Settings()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("poll_overlap", "60", 60),
        ("poll_overlap", 0, 0),
        ("store_read_timeout", "2.5", 2.5),
        ("store_read_timeout", 2, 2.0),
        ("allow_private_callbacks", "yes", True),
        ("allow_private_callbacks", "False", False),
        ("bind_key", None, None),
        ("bind_key", "other", "other"),
        ("retry_schedule", "cloud-elements", "cloud-elements"),
        ("failure_policy", "queue", "queue"),
        ("encryption_keys", "a, b,", ("a", "b")),
        ("encryption_keys", ["a", "b"], ("a", "b")),
        ("encryption_keys", '["a", "b"]', ("a", "b")),
        ("public_url", "https://events.test/api", "https://events.test/api"),
        ("public_url", "", ""),
        ("url_prefix", "api/", "/api"),
        ("url_prefix", "/", ""),
        ("url_prefix", "", ""),
    ],
)
def test_values(name: str, value: object, expected: object) -> None:
    """A value can be a Python object or the text of an environment variable."""
    assert getattr(read_settings({f"WOO_EVENTS_{name.upper()}": value}), name) == expected


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("WOO_EVENTS_POLL_OVERLAP", "x"),
        ("WOO_EVENTS_POLL_OVERLAP", True),
        ("WOO_EVENTS_POLL_OVERLAP", -1),
        ("WOO_EVENTS_POLL_OVERLAP", "--5"),
        ("WOO_EVENTS_POLL_OVERLAP", "5²"),
        ("WOO_EVENTS_POLL_OVERLAP", None),
        ("WOO_EVENTS_POLL_PAGE_SIZE", 1),
        ("WOO_EVENTS_POLL_PAGE_SIZE", 101),
        ("WOO_EVENTS_STORE_READ_TIMEOUT", "nan"),
        ("WOO_EVENTS_STORE_READ_TIMEOUT", 0),
        ("WOO_EVENTS_STORE_READ_TIMEOUT", "soon"),
        ("WOO_EVENTS_ALLOW_PRIVATE_CALLBACKS", "perhaps"),
        ("WOO_EVENTS_RETRY_SCHEDULE", "never"),
        ("WOO_EVENTS_FAILURE_POLICY", "drop"),
        ("WOO_EVENTS_ENCRYPTION_KEYS", 7),
        ("WOO_EVENTS_ENCRYPTION_KEYS", [7]),
        ("WOO_EVENTS_ENCRYPTION_KEYS", "[x"),
        ("WOO_EVENTS_BIND_KEY", 7),
        ("WOO_EVENTS_LEASE_SECONDS", "nan"),
        ("WOO_EVENTS_URL_PREFIX", 7),
        ("WOO_EVENTS_URL_PREFIX", "/shop/<name>"),
        ("WOO_EVENTS_CONSOLE_PREFIX", "/my console"),
        ("WOO_EVENTS_PUBLIC_URL", 7),
        ("WOO_EVENTS_PUBLIC_URL", "ftp://events.test"),
        ("WOO_EVENTS_PUBLIC_URL", "https://"),
        ("WOO_EVENTS_PUBLIC_URL", "http://[x"),
        ("WOO_EVENTS_UNKNOWN", 7),
    ],
)
def test_wrong_values(key: str, value: object) -> None:
    """The message for a wrong value or an unknown key names the key."""
    with pytest.raises(ConfigurationError, match=key):
        read_settings({key: value})


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("POLL_PAGE_SIZE", 101, "must be less than or equal to 100, not 101."),
        ("RETRY_SCHEDULE", "never", "must be 'standard' or 'cloud-elements', not 'never'."),
        ("POLL_OVERLAP", True, "must be a number, not True."),
        ("ENCRYPTION_KEYS", 7, "must be a list of keys, or keys separated by commas."),
        (
            "PUBLIC_URL",
            "events.test",
            "must be a URL that begins with http:// or https://, not 'events.test'.",
        ),
        ("URL_PREFIX", "/a b", "must be a path such as /woo, not '/a b'."),
        ("METRICS_TOKEN", 7, "must be a valid string."),
    ],
)
def test_messages(key: str, value: object, expected: str) -> None:
    """A message says what is expected, and quotes the value unless it is secret."""
    with pytest.raises(ConfigurationError) as caught:
        read_settings({f"WOO_EVENTS_{key}": value})
    assert str(caught.value) == f"WOO_EVENTS_{key} {expected}"


def test_settings_do_not_show_keys() -> None:
    """The representation of the settings holds no secret."""
    assert "hidden" not in repr(Settings(encryption_keys=("hidden",)))


def test_settings_cannot_be_changed() -> None:
    """The settings are frozen."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().poll_threads = 9  # type: ignore[misc]


def test_wrong_keys_are_not_repeated() -> None:
    """The message for a list of keys that is not JSON does not show them."""
    with pytest.raises(ConfigurationError, match="WOO_EVENTS_ENCRYPTION_KEYS") as caught:
        read_settings({"WOO_EVENTS_ENCRYPTION_KEYS": '["hidden'})
    assert "hidden" not in str(caught.value)
