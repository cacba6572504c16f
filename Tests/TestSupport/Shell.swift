import Glibc
import LinuxIO
import NIOPosix

/// Runs other people's programs to their end.
public enum Shell {
    public struct Output: Sendable {
        /// Exit status; minus the signal for a program that was killed.
        public let status: Int32
        public let bytes: [UInt8]
        public let errors: String
        public var text: String { String(decoding: bytes, as: UTF8.self) }
    }

    public struct Failed: Error, CustomStringConvertible {
        public let description: String
    }

    /// The few variables that programs need. Nothing of the developer's own: no proxies, no logins.
    public static var environment: [String: String] {
        let path = getenv("PATH").map { String(cString: $0) } ?? ""
        return ["PATH": path + ":/usr/local/sbin:/usr/sbin:/sbin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", "TZ": "UTC"]
    }

    /// Runs `program`, found on PATH, on a thread that may block.
    public static func run(
        _ program: String, _ arguments: [String], input: [UInt8] = [], environment: [String: String] = environment
    ) async throws -> Output {
        try await NIOThreadPool.singleton.runIfActive {
            let files = try TemporaryDirectory()
            let process = try ChildProcess(
                program, arguments, environment: environment, logPath: files.path + "/out",
                inputPath: try files.write("in", input), errorPath: files.path + "/err")
            let status = process.wait()
            return Output(
                status: status, bytes: contents(of: files.path + "/out") ?? [],
                errors: String(decoding: contents(of: files.path + "/err") ?? [], as: UTF8.self))
        }
    }

    /// As `run`, but any status other than 0 is an error.
    @discardableResult
    public static func check(_ program: String, _ arguments: [String], input: [UInt8] = [], environment: [String: String] = environment) async throws -> Output {
        let output = try await run(program, arguments, input: input, environment: environment)
        guard output.status == 0 else {
            throw Failed(description: "\(program) \(arguments.joined(separator: " ")): status \(output.status)\n\(output.errors.suffix(4000))\(output.text.suffix(2000))")
        }
        return output
    }

    /// Whether the programs are installed. A missing one is printed loudly and skips the tests that need it; where `CI` is
    /// set the answer is always yes, so that those tests fail instead.
    public static func has(_ programs: String...) -> Bool {
        let directories = (environment["PATH"] ?? "").split(separator: ":")
        let missing = programs.filter { program in !directories.contains { access("\($0)/\(program)", X_OK) == 0 } }
        if missing.isEmpty || getenv("CI") != nil { return true }
        print("SKIPPED: \(missing.joined(separator: ", ")) not installed")
        return false
    }

    static func contents(of path: String) -> [UInt8]? {
        guard let file = try? OwnedDescriptor.open(path, O_RDONLY) else { return nil }
        return try? file.readAll(limit: 1 << 30)
    }
}

extension Shell {
    public static func contents(ofFile path: String) throws -> [UInt8] {
        guard let bytes = contents(of: path) else { throw Failed(description: "cannot read \(path)") }
        return bytes
    }

    /// Regular files below a folder, by path from there, sorted.
    public static func files(below path: String) throws(SystemError) -> [String] {
        var files: [String] = []
        var pending = [""]
        while let prefix = pending.popLast() {
            for entry in try Directory(path + "/" + prefix).entries() {
                switch Int32(entry.type) {
                case Int32(DT_DIR): pending.append(prefix + entry.text + "/")
                default: files.append(prefix + entry.text)
                }
            }
        }
        return files.sorted()
    }
}
