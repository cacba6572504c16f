import Glibc
import LinuxIO

/// One line of /proc/self/mountinfo (proc(5)).
struct MountTableEntry: Equatable {
    /// "major:minor"
    var device: String
    var path: String
    /// "fuse.larder"
    var type: String

    init?(_ line: Substring) {
        let fields = line.split(separator: " ")
        guard fields.count >= 9, let separator = fields[6...].firstIndex(of: "-"), separator + 1 < fields.count else { return nil }
        device = String(fields[2])
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

    static func all() throws(SystemError) -> [MountTableEntry] {
        let file = try OwnedDescriptor.open("/proc/self/mountinfo", O_RDONLY)
        var bytes: [UInt8] = []
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
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").compactMap { MountTableEntry($0) }
    }

    /// What is mounted on `path`, which has no symlinks in it; the topmost where there are several.
    static func mounted(on path: String) -> MountTableEntry? {
        (try? all())?.last { $0.path == path }
    }
}
