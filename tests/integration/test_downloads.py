"""What a real apt tells of the host's settings for downloads."""

from pathlib import Path
from shutil import which

import pytest

from slipway.host import downloads


@pytest.mark.skipif(not which("apt-config"), reason="no apt on this host")
def test_apt_settings_about_http_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies reach a build; the host's files and other settings do not."""
    folder = tmp_path / "etc/apt"
    (folder / "apt.conf.d").mkdir(parents=True)
    (tmp_path / "apt.conf").write_text(f'Dir::Etc "{folder}";\n')
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    (folder / "apt.conf.d/95host").write_text(
        'Acquire { http { Proxy "http://proxy.example:3142"; Proxy-Auto-Detect "/usr/bin/x"; };\n'
        'https { CAInfo "/host/ca.pem"; Verify-Peer "true"; }; };\n'
        'APT::Install-Recommends "0";\n',
    )
    assert downloads.find("trixie", {"HOME": str(tmp_path)}, tmp_path).apt_conf.splitlines() == [
        'Acquire::http::Proxy "http://proxy.example:3142";',
        'Acquire::https::Verify-Peer "true";',
    ]
