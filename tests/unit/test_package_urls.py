"""Package URLs: two tools that name the same package differently are understood."""

import pytest

from slipway.scan import package_urls


@pytest.mark.parametrize(
    ("text", "package"),
    [
        ("pkg:deb/debian/apt@3.0.3?arch=amd64&distro=debian-13.2", ("deb", "apt", "3.0.3")),
        (
            "pkg:deb/debian/zlib1g@1.3.dfsg%2Breally1.3.1-1?arch=amd64&epoch=1",
            ("deb", "zlib1g", "1:1.3.dfsg+really1.3.1-1"),
        ),
        ("pkg:deb/debian/zlib1g@1%3A1.3.dfsg%2Breally1.3.1-1", ("deb", "zlib1g", "1:1.3.dfsg+really1.3.1-1")),
        ("pkg:pypi/Typing_Extensions@4.15.0", ("pypi", "typing-extensions", "4.15.0")),
        ("pkg:pypi/ruamel_.yaml@1", ("pypi", "ruamel-yaml", "1")),
        ("pkg:npm/%40babel/core@7.0.0", ("npm", "@babel/core", "7.0.0")),
        ("pkg:golang/golang.org/x/crypto@v0.1.0#ssh", ("golang", "golang.org/x/crypto", "v0.1.0")),
        ("pkg:generic/python", ("generic", "python", "")),
    ],
)
def test_purl_is_read(text: str, package: tuple[str, str, str]) -> None:
    """By the spelling rules of its kind."""
    assert package_urls.parse_package_url(text) == package


@pytest.mark.parametrize("text", ["", "apt", "pkg:deb", "http://example.com/"])
def test_what_is_no_purl_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="purl"):
        package_urls.parse_package_url(text)
