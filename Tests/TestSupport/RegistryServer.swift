import LinuxIO

/// A real registry (Debian's docker-registry) on a free loopback port, empty at the start.
public final class RegistryServer: Sendable {
    public let port: Int
    public let directory: TemporaryDirectory
    private let process: ChildProcess

    /// `127.0.0.1:PORT`
    public var host: String { "127.0.0.1:\(port)" }

    /// - Parameter login: asked for with Basic, where given.
    public static func start(login: (user: String, password: String)? = nil) async throws -> RegistryServer {
        let directory = try TemporaryDirectory()
        var configuration = """
            version: 0.1
            log: {accesslog: {disabled: true}, level: error}
            storage:
              filesystem: {rootdirectory: "\(directory.path)/data"}
              delete: {enabled: true}

            """
        if let login {
            let line = try await Shell.check("htpasswd", ["-nbB", "-C", "4", login.user, login.password])
            let path = try directory.write("htpasswd", line.bytes)
            configuration += "auth: {htpasswd: {realm: test, path: \"\(path)\"}}\n"
        }
        // The port found free may be taken by the time the registry wants it.
        var attempts = 0
        while true {
            let port = try LoopbackPort.free()
            let path = try directory.write("config.yml", configuration + "http: {addr: \"127.0.0.1:\(port)\"}\n")
            let process = try ChildProcess("docker-registry", ["serve", path], logPath: directory.path + "/log")
            do {
                try await LoopbackPort.wait(for: port, of: process)
                return RegistryServer(port: port, directory: directory, process: process)
            } catch {
                attempts += 1
                if attempts == 3 { throw error }
            }
        }
    }

    private init(port: Int, directory: TemporaryDirectory, process: ChildProcess) {
        self.port = port
        self.directory = directory
        self.process = process
    }

    public func stop() { process.kill() }

    /// Copies the image tagged `tag` of the layout at `layout` to `REPOSITORY:tag` here, with skopeo, digests kept.
    public func push(_ layout: String, tag: String, to repository: String, login: (user: String, password: String)? = nil) async throws {
        let credentials = login.map { ["--dest-creds", "\($0.user):\($0.password)"] } ?? []
        try await Shell.check(
            "skopeo",
            ["--insecure-policy", "copy", "-q", "--all", "--preserve-digests", "--dest-tls-verify=false"] + credentials
                + ["oci:\(layout):\(tag)", "docker://\(host)/\(repository):\(tag)"])
    }
}
