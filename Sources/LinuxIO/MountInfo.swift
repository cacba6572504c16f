import Glibc

/// One line of /proc/self/mountinfo (proc(5)).
public struct MountInfo: Sendable, Hashable {
    /// Given anew once the mount has gone.
    public let id: Int
    /// "major:minor"
    public let device: String
    /// The directory of the filesystem that is mounted.
    public let root: String
    public let path: String
    /// "fuse.larder"
    public let type: String

    /// nil where the line is none.
    public init?(_ line: Substring) {
        let fields = line.split(separator: " ")
        guard fields.count >= 9, let id = Int(fields[0]), let separator = fields[6...].firstIndex(of: "-"), separator + 1 < fields.count else { return nil }
        self.id = id
        device = String(fields[2])
        root = Self.unescape(fields[3])
        path = Self.unescape(fields[4])
        type = String(fields[separator + 1])
    }

    /// The kernel writes space, tab, newline and backslash as three octal digits.
    private static func unescape(_ field: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = field.utf8
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\"), let value = UInt8(String(decoding: rest.prefix(3), as: UTF8.self), radix: 8) {
                bytes.append(value)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// The mounts that this process sees, open so that changes can be waited for.
public struct MountTable: ~Copyable {
    private let file: OwnedDescriptor

    public init() throws(SystemError) { file = try .open("/proc/self/mountinfo", O_RDONLY) }

    /// All mounts, in the order of mounting.
    public borrowing func all() throws(SystemError) -> [MountInfo] {
        var bytes: [UInt8] = []
        guard lseek(file.raw, 0, SEEK_SET) == 0 else { throw SystemError("seek", path: "/proc/self/mountinfo") }
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Glibc.read(file.raw, &chunk, chunk.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw SystemError("read", path: "/proc/self/mountinfo")
            }
            if count == 0 { break }
            bytes += chunk[..<count]
        }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").compactMap { MountInfo($0) }
    }

    /// What is mounted on `path`, which has no symlinks in it; the topmost where there are several.
    public static func mounted(on path: String) -> MountInfo? {
        (try? MountTable().all())?.last { $0.path == path }
    }

    /// Blocks until the table has changed since it was last waited for, or opened.
    /// - Parameter timeout: in milliseconds; -1 is none.
    /// - Returns: false where the time ran out or a signal came.
    public borrowing func waitForChange(timeout: Int32 = -1) -> Bool {
        var wait = pollfd(fd: file.raw, events: Int16(POLLPRI), revents: 0)
        return poll(&wait, 1, timeout) > 0
    }

    /// The id of the mount that `descriptor` is on, or is.
    public static func mountID(of descriptor: Int32) throws(SystemError) -> Int {
        let path = "/proc/self/fdinfo/\(descriptor)"
        let text = String(decoding: try OwnedDescriptor.open(path, O_RDONLY).read(4096, at: 0), as: UTF8.self)
        for line in text.split(separator: "\n") where line.hasPrefix("mnt_id:") {
            if let id = Int(line.dropFirst(7).drop { $0 == "\t" || $0 == " " }) { return id }
        }
        throw SystemError("read", path: path, code: EPROTO)
    }
}
