import CLinux
import Glibc
import LinuxIO

/// The agent behind an ssh mount: the user's own by its socket, or one of ours that holds the keys of files.
final class SSHAgent {
    let path: String
    private(set) var helper: HelperProcess?
    private var directory: String?

    init(_ source: SSHSource, environment: EnvironmentBlock) throws(RunError) {
        guard !source.paths.isEmpty else {
            guard let socket = environment["SSH_AUTH_SOCK"], !socket.isEmpty else {
                throw .invalid("invalid empty ssh agent socket, make sure SSH_AUTH_SOCK is set")
            }
            path = String(decoding: socket, as: UTF8.self)
            return
        }
        var sockets: [String] = []
        for path in source.paths {
            guard let kind = HostPlaces.kind(of: Array(path.utf8)) else { throw .invalid("--ssh \(source.id): \(SystemError("stat", path: path))") }
            if kind == S_IFSOCK { sockets.append(path) }
        }
        if let socket = sockets.first {
            guard source.paths.count == 1 else {
                throw .invalid(sockets.count > 1 ? "only single socket allowed" : "invalid combination of keys and sockets")
            }
            path = socket
            return
        }
        var template = Array("/tmp/larder-ssh.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw RunError(SystemError("mkdtemp", path: "/tmp")) }
        let made = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        directory = made
        path = made + "/agent"
        var quiet = environment
        // A key with a passphrase is an error, not a question.
        quiet.set("SSH_ASKPASS_REQUIRE", "never")
        quiet.set("SSH_AUTH_SOCK", path)
        do throws(RunError) {
            helper = try HelperProcess(["ssh-agent", "-D", "-a", path], environment: quiet, quiet: true)
            try waitForSocket()
            for key in source.paths { try add(key, quiet) }
        } catch {
            stop()
            if case .programNotFound(let name) = error { throw .invalid("--ssh \(source.id) with a key needs \(name), which is not installed") }
            throw error
        }
    }

    private func waitForSocket() throws(RunError) {
        for _ in 0..<500 {
            if let agent = try? UnixSocket.connect(to: path) {
                _ = consume agent
                return
            }
            usleep(10_000)
        }
        throw .invalid("ssh-agent did not begin to serve \(path) within 5 s")
    }

    private func add(_ key: String, _ environment: EnvironmentBlock) throws(RunError) {
        var program = ChildProgram(
            name: "ssh-add", candidates: environment.candidates(for: Array("ssh-add".utf8)),
            arguments: ["ssh-add", "-q", key].map { Array($0.utf8) }, environment: environment.entries)
        let null = try program.steps.slot()
        program.steps.add(larder_call_open, StepProgram.here, .text("/dev/null"), .number(Int(O_RDWR | O_CLOEXEC)), .number(0), into: null)
        program.steps.add(larder_call_dup3, .slot(null), .number(0), .number(0))
        program.steps.add(larder_call_dup3, .slot(null), .number(2), .number(0))
        program.steps.add(larder_call_setsid)
        let pid = try program.launch()
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        guard status == 0 else { throw .invalid("failed to parse \(key): it is no private key, or has a passphrase") }
    }

    func stop() {
        helper?.stop()
        helper = nil
        if let directory {
            unlink(directory + "/agent")
            rmdir(directory)
        }
        directory = nil
    }

    deinit { stop() }
}
