"""Print constraints that hold every dependency of users at the lowest version that pyproject.toml admits.

What only developers need stays as pinned in constraints.txt. So does torch: its older builds for Linux bring gigabytes
for GPUs.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PINNED = {"torch"}

project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
users = [name for name in extras if name not in {"dev", "docs"}]
required = [*project["dependencies"], *(item for name in users for item in extras[name])]
lowest = {}
for item in required:
    name, _, version = item.partition(">=")
    # lazy_loader and lazy-loader are one package.
    normal = re.sub(r"[-_.]+", "-", name).lower()
    if normal not in PINNED:
        lowest[normal] = f"{name}=={version}"
for line in (ROOT / "constraints.txt").read_text().splitlines():
    name = re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower()
    if name and not line.startswith("#") and name not in lowest:
        print(line)
print("\n".join(lowest.values()))
