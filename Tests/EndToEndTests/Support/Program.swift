import Glibc
import TestSupport

/// Another program, run to its end or left running: its output goes to files, so no pipe can fill and block it.
///
/// Everything that touches a mount under test happens in another process with a time limit: a read that hangs is then
/// a failed test, and not a test run that hangs.
final class Program {
    struct Output {
        /// As a shell has it: an exit status, or 128 + the signal.
        let status: Int32
        let bytes: [UInt8]
        let errors: String
        var text: String { String(decoding: bytes, as: UTF8.self) }
        var lines: [Substring] { text.split(separator: "\n") }
    }

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    let name: String
    private(set) var pid: pid_t
    private let outputFile: Int32
    private let errorFile: Int32
    private var status: Int32?

    /// Starts `words`, the first of which is looked up in `PATH`. `environment` replaces the caller's.
    init(_ words: [String], environment: [String: String]? = nil) throws {
        name = words.joined(separator: " ")
        outputFile = try Self.anonymousFile()
        errorFile = try Self.anonymousFile()
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, outputFile, 1)
        posix_spawn_file_actions_adddup2(&actions, errorFile, 2)
        actions.closeFrom(3)
        // A test runner may block or ignore signals that the program under test must get.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t(), all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        var arguments = words.map { strdup($0) } + [nil]
        var variables = (environment ?? Environment.current).map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for pointer in arguments + variables { free(pointer) } }
        var child: pid_t = 0
        let error = posix_spawnp(&child, words[0], &actions, &attributes, &arguments, &variables)
        guard error == 0 else { throw Failure(description: "\(name): \(String(cString: strerror(error)))") }
        pid = child
    }

    deinit {
        if status == nil {
            kill(pid, SIGKILL)
            waitpid(pid, nil, 0)
        }
        close(outputFile)
        close(errorFile)
    }

    /// Runs to the end. Throws only where it did not start, or did not end within `limit` seconds.
    static func run(_ words: [String], environment: [String: String]? = nil, limit: Double = 120) throws -> Output {
        try Program(words, environment: environment).wait(limit: limit)
    }

    /// As `run`, for a command that has to succeed; gives its output as text.
    @discardableResult
    static func check(_ words: [String], environment: [String: String]? = nil, limit: Double = 120) throws -> String {
        let output = try run(words, environment: environment, limit: limit)
        guard output.status == 0 else {
            throw Failure(description: "\(words.joined(separator: " ")): exit \(output.status)\n\(output.text.suffix(4000))\(output.errors.suffix(4000))")
        }
        return output.text
    }

    static func isInstalled(_ program: String) -> Bool {
        let path = Environment.current["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin"
        return path.split(separator: ":").contains { access("\($0)/\(program)", X_OK) == 0 }
    }

    var isRunning: Bool {
        if status != nil { return false }
        var value: Int32 = 0
        guard waitpid(pid, &value, WNOHANG) == pid else { return true }
        status = Self.shellStatus(value)
        return false
    }

    func signal(_ number: Int32) {
        if isRunning { kill(pid, number) }
    }

    /// Waits for the end; after `limit` seconds the program is killed and that is an error.
    func wait(limit: Double = 120) throws -> Output {
        guard Wait.until(limit, { !isRunning }) else {
            kill(pid, SIGKILL)
            // A process in an uninterruptible read does not even die; do not wait for it without end.
            _ = Wait.until(5) { !isRunning }
            throw Failure(description: "\(name): not done after \(limit) s\n\(errorsSoFar.suffix(4000))")
        }
        return Output(status: status ?? -1, bytes: Self.content(outputFile), errors: errorsSoFar)
    }

    var errorsSoFar: String { String(decoding: Self.content(errorFile), as: UTF8.self) }
    var outputSoFar: String { String(decoding: Self.content(outputFile), as: UTF8.self) }

    private static func shellStatus(_ status: Int32) -> Int32 {
        let signal = status & 0x7f
        return signal == 0 ? status >> 8 & 0xff : 128 + signal
    }

    private static func anonymousFile() throws -> Int32 {
        var template = Array("/tmp/larder-e2e-output-XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        guard descriptor >= 0 else { throw Failure(description: "/tmp: \(String(cString: strerror(errno)))") }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        unlink(template)
        return descriptor
    }

    private static func content(_ descriptor: Int32) -> [UInt8] {
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_size > 0 else { return [] }
        return [UInt8](unsafeUninitializedCapacity: Int(status.st_size)) { buffer, count in
            count = max(pread(descriptor, buffer.baseAddress, buffer.count, 0), 0)
        }
    }
}

enum Wait {
    /// Asks every few milliseconds until `condition` holds or `seconds` are over; says whether it held.
    static func until(_ seconds: Double, _ condition: () -> Bool) -> Bool {
        let end = ContinuousClock.now + .seconds(seconds)
        while !condition() {
            if ContinuousClock.now > end { return condition() }
            usleep(5000)
        }
        return true
    }
}

enum Environment {
    static var current: [String: String] {
        var result: [String: String] = [:]
        var next = environ
        while let entry = next.pointee {
            let text = String(cString: entry)
            if let equals = text.firstIndex(of: "=") {
                result[String(text[..<equals])] = String(text[text.index(after: equals)...])
            }
            next += 1
        }
        return result
    }
}
