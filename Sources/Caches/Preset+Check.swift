import CLinux
import Glibc
import LinuxIO

extension Preset.Check {
    public enum Outcome: Sendable, Hashable {
        case passed
        case failed(status: Int32)
        /// The program is not on this host: nothing was checked.
        case unavailable
        case timedOut
    }

    /// Checks the instance at `path` with the tool itself; blocks until it has ended. What it prints goes to `output`.
    ///
    /// - Parameters:
    ///   - environment: of this process; the preset's variables are put over it.
    ///   - output: a descriptor for its standard output and error; standard error as a rule.
    ///   - limit: then it is killed.
    public func run(
        _ preset: Preset, _ cache: Preset.Cache, at path: String, environment: [String: String], output: Int32 = STDERR_FILENO,
        limit: Duration = .seconds(600)
    ) throws(SystemError) -> Outcome {
        var environment = environment
        for (name, value) in preset.environment(over: environment, target: { $0 == cache.id ? path : nil }, file: { _ in nil }) {
            environment[name] = value
        }
        guard let child = try start(environment, output) else { return .unavailable }
        return try wait(for: child, limit)
    }

    private func start(_ environment: [String: String], _ output: Int32) throws(SystemError) -> pid_t? {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // A group of its own, so that what it starts can be ended with it.
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for pointer in argv + envp { free(pointer) } }
        var child: pid_t = 0
        let code = posix_spawnp(&child, arguments[0], &actions, &attributes, &argv, &envp)
        if code == ENOENT || code == EACCES { return nil }
        guard code == 0 else { throw SystemError("start", path: arguments[0], code: code) }
        return child
    }

    private func wait(for child: pid_t, _ limit: Duration) throws(SystemError) -> Outcome {
        let end = ContinuousClock.now + limit
        let descriptor = larder_process_descriptor(child)
        var status: Int32 = 0
        var isLate = false
        if descriptor >= 0 {
            defer { close(descriptor) }
            var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            while poll(&wait, 1, Int32(clamping: max(0, (end - .now).components.seconds + 1) * 1000)) < 0 && errno == EINTR {}
            isLate = wait.revents == 0
        }
        if isLate { kill(-child, SIGKILL) }
        while waitpid(child, &status, 0) < 0 {
            guard errno == EINTR else { throw SystemError("wait", path: arguments[0]) }
        }
        if isLate { return .timedOut }
        return status == 0 ? .passed : .failed(status: status & 0x7f == 0 ? status >> 8 & 0xff : 128 + status & 0x7f)
    }
}
