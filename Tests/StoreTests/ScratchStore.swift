import Glibc
import LinuxIO
import Logging
import OCI
import Store
import TestSupport
import Testing

/// A store in a fresh directory that goes with this object.
final class ScratchStore: Sendable {
    /// The store's directory; beside it is room for other things in `base`.
    let path: String
    let base: Directory

    /// - Parameter onDisk: in /tmp whatever it costs; else in memory where the system has such a place, so that hundreds of
    ///   fsyncs do not make the tests wait.
    init(onDisk: Bool = false) throws {
        let parent = onDisk ? "/tmp" : TemporaryDirectory.memory ?? "/tmp"
        var template = Array("\(parent)/larder-store-XXXXXX".utf8CString)
        guard let made = template.withUnsafeMutableBufferPointer({ mkdtemp($0.baseAddress!) }) else { throw SystemError("mkdtemp") }
        base = try Directory(String(cString: made))
        path = base.path + "/store"
    }

    deinit {
        try? base.removeContents()
        rmdir(base.path)
    }

    func open(create: Bool = true) throws -> Store { try Store(at: path, create: create, logger: .silent) }

    /// The store's directory, to look at and to damage.
    func directory() throws -> Directory { try Directory(path) }

    func names(_ folder: String) throws -> [String] { try directory().directory(folder).list() }

    func content(_ name: String) throws -> [UInt8]? {
        try directory().openIfPresent(name).bytes()
    }

    /// Overwrites one byte in the middle of a file of the store, as a failing disk would.
    func damage(_ name: String) throws {
        guard chmod(path + "/" + name, 0o644) == 0 else { throw SystemError("chmod", path: name) }
        let file = try directory().open(name, O_RDWR)
        let middle = try file.size() / 2
        let byte = try file.read(1, at: middle)
        try file.write(byte.map { ~$0 }, at: middle)
    }

    func write(_ name: String, _ text: String) throws {
        let file = try directory().open(name, O_WRONLY | O_CREAT | O_TRUNC)
        try file.write(Array(text.utf8))
    }
}

extension Optional where Wrapped: ~Copyable, Wrapped == OwnedDescriptor {
    /// The content of a file that may be absent.
    consuming func bytes() throws(SystemError) -> [UInt8]? {
        switch consume self {
        case .some(let file): try file.readAll(limit: 64 << 20)
        case .none: nil
        }
    }
}

/// Whether it is so, or becomes so within a minute. A child that a test beside this one is starting holds copies of all our locks
/// until its exec: what this process has let go of is held for a moment longer.
func becomes(_ condition: () throws -> Bool) rethrows -> Bool {
    for _ in 0..<3000 {
        if try condition() { return true }
        usleep(20_000)
    }
    return false
}

extension Logger {
    static var silent: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }
}

extension Digest {
    init(ofText text: String) { self.init(of: Array(text.utf8)) }
}

/// SplitMix64. Prints its seed, and takes it from LARDER_SEED to run a failure again.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(_ test: String = #function) {
        state = getenv("LARDER_SEED").flatMap { UInt64(String(cString: $0)) } ?? .random(in: 0 ... .max)
        print("\(test): LARDER_SEED=\(state)")
    }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) } }
}
