"""JIDs in one prepared form."""

from __future__ import annotations

import pytest

from component.core import jids


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("Juliet@Capulet.Example", "juliet@capulet.example"),
        (" juliet@capulet.example\n", "juliet@capulet.example"),
        ("juliet@BÜCHER.example", "juliet@bücher.example"),
        ("juliet@capulet.example/balcony", None),
        ("juliet@capulet.example/", None),
        ("capulet.example", None),
        ("@capulet.example", None),
        ("juliet@", None),
        ("ju liet@capulet.example", None),
        ("x" * 1024 + "@capulet.example", None),
        ("juliet@" + "ß" * 48, None),  # 96 letters once prepared, and a label has 63
        ("", None),
        (None, None),
    ],
)
def test_bare(text: str | None, prepared: str | None) -> None:
    assert jids.bare(text) == prepared


def test_bare_of_drops_the_resource() -> None:
    assert jids.bare_of("Juliet@Capulet.example/Balcony") == "juliet@capulet.example"
    assert jids.bare_of("capulet.example/x") is None


@pytest.mark.parametrize("text", ["a@b.example.", "A@b.example.", "a@B.example", "a@127.0.0.1."])
def test_a_final_stop_is_no_part_of_a_domain(text: str) -> None:
    """Else one domain would have two spellings for lists and limits (RFC 7622 section 3.2)."""
    assert jids.bare(text) == text.rstrip(".").lower()
    assert jids.bare_of(f"{text}/x") == jids.bare(text)


def test_every_stop_separates_labels() -> None:
    spellings = ("a@b.c.example", "a@b\u3002c.example", "a@b\uff0ec\uff61example")
    assert {jids.key(jids.bare(text) or "") for text in spellings} == {"a@b.c.example"}


def test_key_unites_both_spellings_of_a_domain() -> None:
    assert jids.key("juliet@xn--bcher-kva.example") == jids.key("juliet@bücher.example")
    assert jids.key("juliet@xn--99999999.example") == "juliet@xn--99999999.example"


@pytest.mark.parametrize(
    ("uri", "jid"),
    [
        ("xmpp:juliet@capulet.example", "juliet@capulet.example"),
        ("XMPP:Juliet@Capulet.example", "juliet@capulet.example"),
        ("xmpp:j%C3%BCliet@capulet.example", "jüliet@capulet.example"),
        ("xmpp:juliet@capulet.example/balcony", None),
        ("xmpp:juliet@capulet.example?message", None),
        ("xmpp:juliet@capulet.example#x", None),
        ("xmpp://juliet@capulet.example", None),
        ("xmpp:j%FF@capulet.example", None),
        ("xmpp:juliet%2Fx@capulet.example", None),
        ("mailto:juliet@capulet.example", None),
        ("juliet@capulet.example", None),
        ("xmpp:capulet.example", None),
        ("xmpp:", None),
        ("", None),
        (None, None),
    ],
)
def test_from_uri(uri: str | None, jid: str | None) -> None:
    assert jids.from_uri(uri) == jid


@pytest.mark.parametrize(
    "text",
    [
        "juliet@example.org",
        "Juliet@Example.Org/Phone",
        "<juliet@example.org>",
        "Juliet Capulet <xmpp:juliet@example.org>.",
        "xmpp:juliet@example.org?message;subject=Hi",
        "xmpp:j%75liet@example.org",
        "XMPP://juliet@example.org/Phone#x",
        "mailto:juliet@example.org",
        "\u201ejuliet@example.org\u201c",
        "'juliet@example.org';",
        "juliet@example.org,",
        "juliet@example.org. ",
        "\u00abjuliet@example.org.\u00bb",
    ],
)
def test_addresses_as_people_write_them(text: str) -> None:
    assert jids.typed(text) == "juliet@example.org"


@pytest.mark.parametrize(
    "text", ["", "juliet", "@example.org", "a@b@c", "a@", "<>", "xmpp:", "a b@c"]
)
def test_what_is_no_address(text: str) -> None:
    assert jids.typed(text) is None
