import Glibc
import LinuxIO

/// A program of the host, run to its end.
enum Tool {
    /// Whether `name` is in PATH. In CI a missing tool is a failure: there the answer is always yes.
    static func isInstalled(_ name: String) -> Bool {
        if getenv("CI") != nil { return true }
        let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin"
        let found = path.split(separator: ":").contains { access("\($0)/\(name)", X_OK) == 0 }
        if !found { print("NOT TESTED: \(name) is not installed") }
        return found
    }

    /// Exit status (negative for a signal) and what the program wrote to both its outputs.
    static func run(_ arguments: String...) throws -> (status: Int32, output: String) {
        var template = Array("/tmp/larder-output-XXXXXX".utf8CString)
        let output = OwnedDescriptor(owning: mkstemp(&template))
        guard output.raw >= 0 else { throw SystemError("mkstemp") }
        unlink(template)
        _ = fcntl(output.raw, F_SETFD, FD_CLOEXEC)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, output.raw, 1)
        posix_spawn_file_actions_adddup2(&actions, output.raw, 2)
        var pid = pid_t()
        let words = arguments.map { strdup($0) } + [nil]
        defer { words.forEach { free($0) } }
        let code = posix_spawnp(&pid, arguments[0], &actions, nil, words, environ)
        guard code == 0 else { throw SystemError("spawn", path: arguments[0], code: code) }
        var status: Int32 = 0
        while waitpid(pid, &status, 0) == -1 && errno == EINTR {}
        return (status & 0x7f == 0 ? (status >> 8) & 0xff : -(status & 0x7f), String(decoding: try output.readAll(limit: 16 << 20) ?? [], as: UTF8.self))
    }
}
