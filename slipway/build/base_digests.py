"""The digests of the base images in images.toml: `lock` renews them where a registry is reached.

python -m slipway.build.base_digests
"""

import re
import subprocess

from slipway import files, matrix, tools
from slipway.errors import run


def read_digest(image: str) -> str:
    """Return the digest that a registry has for a tag now, empty where none answers."""
    command = [str(tools.provide_program(tools.read_tool("crane"))), "digest", image]
    result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    return "" if result.returncode else result.stdout.strip()


def write_digest(text: str, image: str, digest: str) -> str:
    """Return the text of images.toml with the digest of an image in each table that starts from it."""
    line = f'image = "{image}"\n'
    return re.sub(rf'^{re.escape(line)}(digest = "[^"]*"\n)?', f'{line}digest = "{digest}"\n', text, flags=re.MULTILINE)


def main() -> int:
    """Renew the digests; where no registry answers they stay, and a line says so."""
    text = matrix.FILE.read_text(encoding="utf-8")
    for image in sorted({distro.image for distro in matrix.load_matrix().distros.values()}):
        if digest := read_digest(image):
            text = write_digest(text, image, digest)
            print(f"{image}  {digest}")
        else:
            print(f"{image}: no registry answers; its digest in images.toml stays as it is")
    if text != matrix.FILE.read_text(encoding="utf-8"):
        with files.write_whole(matrix.FILE) as file:
            file.write(text.encode())
    return 0


if __name__ == "__main__":
    run(main)
