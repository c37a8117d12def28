"""repository.py FOLDER PROGRAM VERSION...: Debian packages of the stand-in, and their list, as a flat repository."""

import hashlib
import pathlib
import subprocess
import sys
import tempfile

UNITS = {"kubelet": "/usr/bin/kubelet", "containerd": "/bin/sleep infinity"}
FOLDER, PROGRAM, *VERSIONS = sys.argv[1:]
FIELDS = (
    "Package: {}\nVersion: {}-1.1\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: stand-in\n"
)


def build(name, version):
    with tempfile.TemporaryDirectory() as work:
        root = pathlib.Path(work)
        root.chmod(0o755)
        (root / "DEBIAN").mkdir()
        (root / "DEBIAN" / "control").write_text(FIELDS.format(name, version))
        if name != "containerd":
            program = root / "usr" / "bin" / name
            program.parent.mkdir(parents=True)
            program.write_text(pathlib.Path(PROGRAM).read_text().replace("@VERSION@", version))
            program.chmod(0o755)
        if name in UNITS:
            unit = root / "lib" / "systemd" / "system" / f"{name}.service"
            unit.parent.mkdir(parents=True)
            unit.write_text(
                f"[Service]\nExecStart={UNITS[name]}\nRestart=always\n[Install]\nWantedBy=multi-user.target\n"
            )
        file = pathlib.Path(FOLDER) / f"{name}_{version}.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", work, str(file)], check=True)
    data = file.read_bytes()
    place = f"Filename: ./{file.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
    return FIELDS.format(name, version) + place


pathlib.Path(FOLDER).mkdir(parents=True, exist_ok=True)
entries = [build(name, version) for name in ("kubeadm", "kubelet", "kubectl") for version in VERSIONS]
(pathlib.Path(FOLDER) / "Packages").write_text("\n".join([*entries, build("containerd", "9.0.0")]))
