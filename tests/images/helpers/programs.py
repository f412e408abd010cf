"""Parts of the programs that checks run by an image's own Python."""

import json

from tests.images.helpers.containers import Python

ATTEMPTS = """
import json, traceback
problems = {}
for name, code in PROGRAMS.items():
    try:
        exec(code, {})
        problems[name] = ""
    except BaseException:
        problems[name] = traceback.format_exc()
print(json.dumps(problems))
"""
# Defines `shortest`: the seconds of an action, those of the processor in one thread, and the least of some times, so
# that a busy machine does not count.
SHORTEST = """
import time
def shortest(action):
    found = []
    for _ in range(9):
        before = time.thread_time()
        action()
        found.append(time.thread_time() - before)
    return min(found)
"""
# Defines `is_its_own`, which tells whether bytecode is its source's; a header does not tell.
IS_ITS_OWN = """
import marshal
def compile_source(source, name):
    try:
        return compile(source.read_bytes(), name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return None

def is_its_own(source, compiled):
    with open(compiled, "rb") as file:
        code = marshal.loads(file.read()[16:])
    return code == compile_source(source, code.co_filename)
"""


def find_problems(python: Python, programs: dict[str, str]) -> dict[str, str]:
    """Run programs in one process, as imports are slow; return the error of each, empty for one that works."""
    return dict(json.loads(python(f"PROGRAMS = {programs!r}\n{ATTEMPTS}").splitlines()[-1]))
