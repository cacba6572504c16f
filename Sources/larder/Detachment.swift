import FoundationEssentials
import Glibc

/// `larder mount` without --foreground: starts the same command again in a session of its own and returns when that says
/// it is ready. A fork would be no good here: a Swift process has threads before `main`.
enum Detachment {
    /// - Returns: the process id of the daemon, when its mount can be used.
    static func run(logFile: String) throws -> pid_t {
        guard let ready = Pipe.make() else { throw Failure(.failed, "pipe: \(String(cString: strerror(errno)))") }
        defer { close(ready.read) }
        let log = open(logFile, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard log >= 0 else { throw Failure(.failed, "log file \(logFile): \(String(cString: strerror(errno)))") }
        defer { close(log) }

        let child = try spawn(ready: ready.write, log: log)
        close(ready.write)
        guard waitUntilReady(ready.read) else {
            var status: Int32 = 0
            waitpid(child, &status, 0)
            throw Failure(Failure.Code(rawValue: (status >> 8) & 0xff) ?? .failed, reason(in: logFile))
        }
        return child
    }

    private static func spawn(ready: Int32, log: Int32) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, log, STDOUT_FILENO)
        posix_spawn_file_actions_adddup2(&actions, log, STDERR_FILENO)
        // dup2 onto another number clears close-on-exec.
        let inherited: Int32 = 3
        if ready == inherited { _ = fcntl(ready, F_SETFD, 0) } else { posix_spawn_file_actions_adddup2(&actions, ready, inherited) }

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, Int16(startsSession))

        let arguments = CommandLine.arguments + ["--foreground"]
        var environment = ProcessInfo.processInfo.environment
        environment[Readiness.pipeVariable] = "\(inherited)"
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for pointer in argv + envp { free(pointer) } }
        var child: pid_t = 0
        let code = posix_spawn(&child, "/proc/self/exe", &actions, &attributes, &argv, &envp)
        guard code == 0 else { throw Failure(.failed, "cannot start in the background: \(String(cString: strerror(code)))") }
        return child
    }

    /// POSIX_SPAWN_SETSID of glibc, which its headers show to C alone.
    private static let startsSession = 0x80

    /// Passes on what the background process has to say, until it is ready. False where it ended before.
    private static func waitUntilReady(_ descriptor: Int32) -> Bool {
        var bytes = [UInt8](repeating: 0, count: 4096)
        var text: [UInt8] = []
        while true {
            let count = read(descriptor, &bytes, bytes.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return false }
            text += bytes[..<count]
            while let end = text.firstIndex(of: UInt8(ascii: "\n")) {
                let line = String(decoding: text[..<end], as: UTF8.self)
                text.removeSubrange(...end)
                if line == "ready" { return true }
                if line.hasPrefix("note ") { Terminal.error("larder: \(line.dropFirst(5))") }
            }
        }
    }

    /// What the background process said before it ended: its last line that is an error message.
    private static func reason(in logFile: String) -> String {
        let text = FileManager.default.contents(atPath: logFile).map { String(decoding: $0.suffix(8192), as: UTF8.self) } ?? ""
        let line = text.split(separator: "\n").last { $0.hasPrefix("larder: ") }
        return line.map { String($0.dropFirst(8)) } ?? "the background process ended before the mount was ready; see \(logFile)"
    }
}
