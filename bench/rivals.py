"""The servers that Sluice is measured against: how to get, start and ask each of them.

Each is installed below build/rivals and nowhere else, and configured the way its own documents
recommend for production, with its logs off and as many threads as it likes. What cannot be had
here is reported with the reason. try_rivals.py sees whether they work.
"""
import http.client
import os
import pathlib
import re
import shutil
import subprocess

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "build" / "rivals"
ANSWER_S = 10


class Unavailable(Exception):
    """A rival cannot be had on this machine; the text says why."""


def build(argv, folder, **environment):
    """Runs one command of an installation, gently; its last words are the reason if it fails."""
    if shutil.which(argv[0]) is None:
        raise Unavailable(f"there is no {argv[0]}")
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["nice", "-n", "19", *argv], cwd=folder, stdin=subprocess.DEVNULL,
                          env={**os.environ, **environment}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        last = " ".join(line.strip() for line in done.stdout.strip().splitlines()[-2:])
        raise Unavailable(f"{' '.join(argv[:2])}: {re.sub('https?://[^ ]*', 'the registry', last)}")


class Rival:
    """One server. A mode says in a few words what an acknowledged append is worth in it."""

    name = ""
    version = ""
    scenarios = None  # names of those that it can do; None: it has the whole protocol
    modes = {}

    def __init__(self, folder=FOLDER):
        self.use(folder)

    def use(self, folder):
        """Everything of this version lives there, so that what is there is what is wanted."""
        self.folder = pathlib.Path(folder) / f"{self.name}-{self.version}"

    def program(self):
        """The file whose presence says that the rival is installed."""
        raise NotImplementedError

    def get(self):
        """Makes program(), or raises Unavailable."""
        raise NotImplementedError

    def install(self, folder=FOLDER):
        """Gets the rival unless it is there already; raises Unavailable."""
        self.use(folder)
        if not self.program().exists():
            self.get()

    def arguments(self, mode, port, data_dir):
        """What command() returns; `data_dir` is a folder that exists."""
        raise NotImplementedError

    def command(self, mode, port, data_dir):
        """Returns the command line, and what to add to the environment. All that it writes is
        below `data_dir`, which is made if it is not there."""
        data_dir = pathlib.Path(data_dir).resolve()
        data_dir.mkdir(parents=True, exist_ok=True)
        return self.arguments(mode, port, data_dir)

    def stream_url(self, port, name):
        """Where the stream is: the same path for all of them."""
        return f"http://127.0.0.1:{port}/v1/stream/{name}"

    def try_out(self, port):
        """Creates, appends, reads; returns the three statuses, and raises if the bytes differ."""
        url = self.stream_url(port, "check").split(str(port), 1)[1]
        put, _ = ask(port, "PUT", url, b"")
        post, _ = ask(port, "POST", url, b"hello")
        get, body = ask(port, "GET", url + "?offset=-1", None)
        if body != b"hello":
            raise OSError(f"read {body[:80]!r} instead of what was appended")
        return put, post, get


class Node(Rival):
    """The reference server. One thread, whatever the machine: that is how it is. Every append of
    the file mode waits for fdatasync, which appends to the same stream share."""

    name = "node"
    version = "0.3.7"
    modes = {"memory": "lost with the process", "durable": "file mode: fdatasync, then LMDB"}

    def program(self):
        return self.folder / "node_modules" / "@durable-streams" / "server" / "package.json"

    def get(self):
        build(["npm", "install", "--prefix", str(self.folder), "--no-audit", "--no-fund",
               f"@durable-streams/server@{self.version}"], self.folder)

    def arguments(self, mode, port, data_dir):
        start = self.folder / "serve.mjs"
        start.write_text(
            'import { DurableStreamTestServer } from "@durable-streams/server"\n'
            "const [port, dataDir] = process.argv.slice(2)\n"
            'const options = { port: Number(port), host: "127.0.0.1", dataDir }\n'
            "await new DurableStreamTestServer(options).start()\n")
        where = [str(data_dir)] if mode == "durable" else []
        return ["node", str(start), str(port), *where], {"NODE_ENV": "production"}


class Crate(Rival):
    """A server that cargo builds. Both have a program of the same name, hence a folder each."""

    def program(self):
        return self.folder / "bin" / "durable-streams-server"

    def get(self):
        build(["cargo", "install", "--locked", "--root", str(self.folder), "--version",
               self.version, self.name], self.folder,
              CARGO_TARGET_DIR=str(self.folder / "target"))
        shutil.rmtree(self.folder / "target")


class DurableStreams(Crate):
    """Electric's server, with its defaults: its documents call every other setting experimental
    and advise to leave the knobs alone. It logs nothing per request."""

    name = "durable-streams"
    version = "0.1.5"
    modes = {"memory": "written to the page cache, no log: lost with the machine",
             "durable": "wal mode: group commit by fdatasync"}

    def arguments(self, mode, port, data_dir):
        durability = {"memory": "memory", "durable": "wal"}[mode]
        return [str(self.program()), "--port", str(port), "--data-dir", str(data_dir),
                "--durability", durability], {}


class DurableStreamsServer(Crate):
    """The server whose storage contract ours implements. Its limits of 100 MiB in all and 10 MiB a
    stream would end a run early, so they are raised; `durable` is what its production profile
    uses, `acid` what its documents recommend for transactions."""

    name = "durable-streams-server"
    version = "0.3.0"
    modes = {"memory": "lost with the process", "durable": "file-durable: fsync for each append",
             "acid": "redb in 16 shards, a transaction for each append"}

    def arguments(self, mode, port, data_dir):
        storage = {"memory": "memory", "durable": "file-durable", "acid": "acid"}[mode]
        return [str(self.program())], {
            "DS_SERVER__BIND_ADDRESS": f"127.0.0.1:{port}",
            "DS_STORAGE__MODE": storage,
            "DS_STORAGE__DATA_DIR": str(data_dir),
            "DS_LIMITS__MAX_MEMORY_BYTES": str(16 << 30),
            "DS_LIMITS__MAX_STREAM_BYTES": str(16 << 30),
            "DS_OBSERVABILITY__RUST_LOG": "error",
            "RUST_LOG": "error",
        }


class Caddy(Rival):
    """The plugin of the Caddy web server, built as its own main program does, with admin interface
    and access log off. SLUICE_CADDY_PLUGIN names a folder with the plugin's source, for machines
    whose module proxy does not have it."""

    name = "caddy"
    version = "latest"
    modes = {"memory": "lost with the process", "durable": "segment files, fsync, bbolt"}
    module = "github.com/durable-streams/durable-streams/packages/caddy-plugin"

    def program(self):
        return self.folder / "bin" / "caddy"

    def get(self):
        (self.folder / "bin").mkdir(parents=True, exist_ok=True)
        source = os.environ.get("SLUICE_CADDY_PLUGIN")
        if source:
            build(["go", "build", "-o", str(self.program()), "./cmd/caddy"], pathlib.Path(source))
        else:
            build(["go", "install", f"{self.module}/cmd/caddy@{self.version}"], self.folder,
                  GOBIN=str(self.folder / "bin"))

    def arguments(self, mode, port, data_dir):
        store = f" {{\n\t\t\tdata_dir {data_dir}/streams\n\t\t}}" if mode == "durable" else ""
        config = data_dir / "Caddyfile"
        config.write_text("{\n\tadmin off\n\tauto_https off\n\tpersist_config off\n"
                          "\tlog {\n\t\tlevel ERROR\n\t}\n}\n\n"
                          f"http://127.0.0.1:{port} {{\n\troute /v1/stream/* {{\n"
                          f"\t\tdurable_streams{store}\n\t}}\n}}\n")
        return [str(self.program()), "run", "--config", str(config), "--adapter", "caddyfile"], \
            {"XDG_DATA_HOME": str(data_dir), "XDG_CONFIG_HOME": str(data_dir)}


class Nchan(Rival):
    """nginx with nchan, a publish-subscribe module: another protocol and nothing durable, so it
    counts for fan-out by server-sent events only. A worker for each core; new subscribers begin
    with the newest message, as ours do with offset=now; it keeps as many messages as a slow reader
    can be behind here, because it drops the oldest of more."""

    name = "nchan"
    version = "debian"
    scenarios = ("fan-out", "fan-out-paced")
    modes = {"memory": "the last messages, in shared memory"}
    packages = ("nginx", "libnginx-mod-nchan")

    def program(self):
        return self.folder / "usr" / "lib" / "nginx" / "modules" / "ngx_nchan_module.so"

    def get(self):
        build(["apt-get", "download", "-q", *self.packages], self.folder)
        for package in self.folder.glob("*.deb"):
            build(["dpkg-deb", "-x", str(package), str(self.folder)], self.folder)
        # Both insist on a folder for temporary files that belongs to a package that is not
        # installed, whatever the configuration says. A name of the same length without "/" is
        # looked for below -p instead.
        for file in self.nginx(), self.program():
            file.write_bytes(file.read_bytes().replace(b"/var/lib/nginx/", b"nginx_temporary"))

    def nginx(self):
        return self.folder / "usr" / "sbin" / "nginx"

    def arguments(self, mode, port, data_dir):
        config = data_dir / "nginx.conf"
        # The workers would run as nobody, who cannot write to our folders.
        user = "user root;\n" if os.geteuid() == 0 else ""
        config.write_text(f"""load_module {self.program()};
{user}daemon off;
pid {data_dir}/nginx.pid;
error_log stderr crit;
worker_processes auto;
worker_rlimit_nofile 20000;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_max_body_size 16m;
  client_body_buffer_size 64k;
  nchan_shared_memory_size 1g;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location ~ ^/v1/stream/(.+)$ {{
      nchan_pubsub;
      nchan_channel_id $1;
      nchan_subscriber_first_message newest;
      nchan_message_buffer_length 4096;
      nchan_message_timeout 1m;
    }}
  }}
}}
""")
        return [str(self.nginx()), "-p", str(data_dir), "-c", str(config), "-e", "stderr"], {}

    def try_out(self, port):
        """Subscribes, publishes, and waits for the event."""
        url = "/v1/stream/check"
        reader = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
        reader.request("GET", url, headers={"Accept": "text/event-stream"})
        answer = reader.getresponse()
        post, _ = ask(port, "POST", url, b"hello")
        line = b"-"
        while line and line != b"data: hello\n":
            line = answer.readline()
        reader.close()
        if not line:
            raise OSError("the event did not come")
        return "-", post, answer.status


RIVALS = [Node(), DurableStreams(), DurableStreamsServer(), Caddy(), Nchan()]


def ask(port, method, url, body):
    """One request on its own connection; returns status and body, raises what is no success."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    headers = {} if body is None else {"Content-Type": "application/octet-stream"}
    connection.request(method, url, body, headers)
    answer = connection.getresponse()
    status, data = answer.status, answer.read()
    connection.close()
    if status >= 300:
        raise OSError(f"{method} was answered {status}: {data[:80]!r}")
    return status, data
