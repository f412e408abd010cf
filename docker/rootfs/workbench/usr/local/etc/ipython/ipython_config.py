"""IPython's history on the volume: open to the group, while SQLite and IPython would keep it for one UID."""

import contextlib
from pathlib import Path

from IPython.paths import get_ipython_dir

folder = Path(get_ipython_dir(), "profile_default")
with contextlib.suppress(OSError):  # another UID's, or a volume that cannot be written
    (folder / "history.sqlite").touch()
    for path in (folder, folder / "history.sqlite"):
        path.chmod(path.stat().st_mode | 0o060)
