import Caches
import Glibc
import LinuxIO
import Logging
import Store
import Testing
import TestSupport

/// A store in memory with caches in it, that goes with this object.
final class ScratchCaches: Sendable {
    let base: Directory
    let storePath: String
    let library: CacheLibrary

    init() throws {
        let parent = TemporaryDirectory.memory ?? "/tmp"
        var template = Array("\(parent)/larder-caches-XXXXXX".utf8CString)
        guard let made = template.withUnsafeMutableBufferPointer({ mkdtemp($0.baseAddress!) }) else { throw SystemError("mkdtemp") }
        base = try Directory(String(cString: made))
        storePath = base.path + "/store"
        library = CacheLibrary(try Store(at: storePath, create: true, logger: .silent), command: "test")
    }

    deinit {
        try? base.removeContents()
        rmdir(base.path)
    }

    @discardableResult
    func cache(_ text: String = "npm", _ settings: CacheSettings = CacheSettings()) throws -> CacheName {
        let name = try #require(CacheName(text))
        try library.create(name, settings)
        return name
    }

    /// One lease, on this thread. That nobody holds it is waited for: a child that a test beside this one starts has a copy of every
    /// lock until its exec.
    @discardableResult
    func lease(_ name: CacheName, _ sharing: Sharing? = nil, readOnly: Bool = false, fresh: Bool = false, timeout: Duration? = .zero) throws -> Lease {
        let request = LeaseRequest(name, sharing, readOnly: readOnly, fresh: fresh)
        func take() -> Result<Lease, any Error> { Result { try library.acquireBlocking([request], timeout: timeout).leases[0] } }
        var taken = take()
        for _ in 0..<6000 {
            guard case .failure(CacheError.timedOut(_, _, let holders)) = taken, holders.isEmpty else { break }
            usleep(10_000)
            taken = take()
        }
        return try taken.get()
    }

    func directory(of name: CacheName) throws -> Directory { try Directory("\(storePath)/caches/\(name.encoded)") }

    /// Another process; see Tests/CacheContender.
    func contender(
        _ mode: String, _ name: String = "npm", _ sharing: String = "shared", _ argument: String = "", within wrapper: [String] = []
    ) throws -> Contender {
        let log = "\(base.path)/\(UInt64.random(in: .min ... .max)).log"
        return try Contender([storePath, mode, name, sharing, argument], log: log, within: wrapper)
    }
}

final class Contender: Sendable {
    let process: ChildProcess

    /// - Parameter wrapper: a program, with its arguments, that runs the contender in its own place.
    init(_ arguments: [String], log: String, within wrapper: [String] = []) throws {
        let command = wrapper + [try Self.besideTheTests("CacheContender")] + arguments
        process = try ChildProcess(command[0], Array(command.dropFirst()), logPath: log)
    }

    /// The build puts all products of the package into one folder; in it, or below it, is what runs the tests.
    private static func besideTheTests(_ name: String) throws -> String {
        let own = CommandLine.arguments[0].hasPrefix("/") ? CommandLine.arguments[0] : try currentDirectory() + "/" + CommandLine.arguments[0]
        for text in [own] + CommandLine.arguments.dropFirst() where text.contains("/") {
            var path = Substring(text)
            while let slash = path.lastIndex(of: "/") {
                path = path[..<slash]
                if access("\(path)/\(name)", X_OK) == 0 { return "\(path)/\(name)" }
            }
        }
        throw SystemError("find", path: "\(name) beside \(own)", code: ENOENT)
    }

    private static func currentDirectory() throws -> String {
        guard let path = getcwd(nil, 0) else { throw SystemError("getcwd") }
        defer { free(path) }
        return String(cString: path)
    }

    /// Waits until it has printed a line that begins so, and returns the rest of that line.
    @discardableResult
    func line(_ beginning: String) throws -> String {
        for _ in 0..<60_000 {
            let lines = process.log.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
            if let line = lines.first(where: { $0.hasPrefix(beginning) }) { return String(line.dropFirst(beginning.count).drop { $0 == " " }) }
            if !process.isRunning && !process.log.contains(beginning) { break }
            usleep(10_000)
        }
        throw SystemError("wait for '\(beginning)' of a contender that says '\(process.log.prefix(2000))'", code: ETIMEDOUT)
    }

    /// SIGKILL, and waits until it has ended.
    func kill() { process.kill() }

    /// Lets it do what is next.
    func goOn() { Glibc.kill(process.pid, SIGTERM) }

    /// Releases, and waits until it has ended.
    func release() throws {
        process.terminate()
        try line("released")
    }
}

extension Logger {
    static var silent: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }
}

extension Directory {
    func write(_ name: String, _ text: String) throws {
        if let slash = name.lastIndex(of: "/") { try makeDirectories(String(name[..<slash])) }
        try open(name, O_WRONLY | O_CREAT | O_TRUNC).write(Array(text.utf8))
    }

    func text(_ name: String) throws -> String? {
        guard let file = try openIfPresent(name), let bytes = try file.readAll(limit: 1 << 20) else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// The error that `body` throws; fails where it throws none.
func failure(_ body: () throws -> Void) -> CacheError? {
    #expect(throws: CacheError.self, performing: body)
}
