"""Look for known vulnerabilities in what is installed; where the data cannot be reached, say so and pass."""

import json
import subprocess
import sys

command = [sys.executable, "-m", "pip_audit", "--local", "--skip-editable", "--progress-spinner=off", "--format=json"]
done = subprocess.run(command, capture_output=True, text=True, check=False)
try:
    packages = json.loads(done.stdout)["dependencies"]
except ValueError:
    reason = done.stderr.strip().splitlines() or ["no answer"]
    print("pip-audit: not audited,", reason[-1][:200])
    sys.exit()
vulnerable = [
    f"{package['name']} {package['version']}: {found['id']}, mended in {', '.join(found['fix_versions']) or 'none'}"
    for package in packages
    for found in package.get("vulns", ())
]
n_audited = sum("skip_reason" not in package for package in packages)
print(f"pip-audit: {n_audited} of {len(packages)} packages audited, {len(vulnerable)} known vulnerabilities")
sys.exit("\n".join(vulnerable) or None)
