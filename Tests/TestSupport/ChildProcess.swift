import Glibc
import LinuxIO

/// A program that runs beside the test. It is killed, at the latest, when the last reference to this goes.
public final class ChildProcess: @unchecked Sendable {
    public let pid: pid_t
    /// What it prints, both ways.
    public let logPath: String
    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private var status: Int32?

    /// - Parameters:
    ///   - environment: all that the program sees.
    ///   - inputPath, outputPath, errorPath: files; by default nothing comes in, and both ways out lead to `logPath`.
    public init(
        _ program: String, _ arguments: [String], environment: [String: String] = Shell.environment, logPath: String,
        inputPath: String = "/dev/null", errorPath: String? = nil
    ) throws(SystemError) {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, inputPath, O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, logPath, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        if let errorPath {
            posix_spawn_file_actions_addopen(&actions, 2, errorPath, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        } else {
            posix_spawn_file_actions_adddup2(&actions, 1, 2)
        }
        actions.closeFrom(3)
        var strings: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) } + [nil]
        var variables: [UnsafeMutablePointer<CChar>?] = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for string in strings + variables { free(string) } }
        var pid: pid_t = 0
        let code = posix_spawnp(&pid, program, &actions, nil, &strings, &variables)
        guard code == 0 else { throw SystemError("spawn", path: program, code: code) }
        self.pid = pid
        self.logPath = logPath
        pthread_mutex_init(lock, nil)
    }

    deinit {
        kill()
        pthread_mutex_destroy(lock)
        lock.deallocate()
    }

    /// Blocks until the program has ended; its exit status, or minus the signal that killed it.
    @discardableResult
    public func wait() -> Int32 {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        if let status { return status }
        var raw: Int32 = 0
        while waitpid(pid, &raw, 0) < 0 && errno == EINTR {}
        let ended = raw & 0x7f == 0 ? (raw >> 8) & 0xff : -(raw & 0x7f)
        status = ended
        return ended
    }

    /// Whether it is still running.
    public var isRunning: Bool {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        guard status == nil else { return false }
        var raw: Int32 = 0
        guard waitpid(pid, &raw, WNOHANG) == pid else { return true }
        status = raw & 0x7f == 0 ? (raw >> 8) & 0xff : -(raw & 0x7f)
        return false
    }

    /// Asks it to end (SIGTERM), so that it can end its own children, and waits for that.
    public func terminate() {
        if isRunning { Glibc.kill(pid, SIGTERM) }
        wait()
    }

    /// Ends it with SIGKILL, if it has not ended by itself.
    public func kill() {
        if isRunning { Glibc.kill(pid, SIGKILL) }
        wait()
    }

    public var log: String { Shell.contents(of: logPath).map { String(decoding: $0, as: UTF8.self) } ?? "" }
}
