"""What the figures were measured on."""
import os
import platform
import re
import subprocess


def _file(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def _line(pattern, text):
    match = re.search(pattern, text, re.M)
    return match[1].strip() if match else ""


def fingerprint(folder):
    """Processor, memory, kernel, and the file system of `folder`."""
    stat = subprocess.run(["df", "--output=source,fstype", str(folder)], capture_output=True,
                          text=True).stdout.split()
    return {
        "cpu": _line(r"^model name\s*: (.*)$", _file("/proc/cpuinfo")),
        "cores": os.cpu_count(),
        "memory_bytes": int(_line(r"^MemTotal:\s+(\d+)", _file("/proc/meminfo"))) * 1024,
        "kernel": platform.release(),
        "system": _line(r'^PRETTY_NAME="(.*)"$', _file("/etc/os-release")),
        "file_system": " ".join(stat[-2:]),
        "load_before": _file("/proc/loadavg").split()[0],
        "compiler": subprocess.run(["cc", "--version"], capture_output=True,
                                   text=True).stdout.split("\n")[0],
    }


def busy_s():
    """Seconds of processor that everybody has used so far, and that the host took away."""
    user, nice, system, _, _, irq, softirq, steal = map(int, _file("/proc/stat").split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def commit(root):
    """Short name of the commit, with "-dirty" behind it when files differ from it."""
    return subprocess.run(["git", "-C", str(root), "describe", "--always", "--dirty"],
                          capture_output=True, text=True).stdout.strip() or "unknown"
