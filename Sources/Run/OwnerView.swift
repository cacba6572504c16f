import CLinux
import Caches
import Glibc
import LinuxIO

/// How a cache that belongs to one user is shown as another's: files of the one look like the other's and the other way round, and
/// what the other makes is the one's on disk. Everybody else stays who they are.
enum OwnerView {
    /// The contents of a uid_map or gid_map (user_namespaces(7)): what is `disk` below looks like `shown`.
    /// - Parameter known: the ids that this process can name, as (first, count).
    static func map(disk: UInt32, shown: UInt32, known: [(first: UInt32, count: UInt32)]) -> String {
        var lines: [String] = []
        for range in known {
            let end = UInt64(range.first) + UInt64(range.count)
            var next = UInt64(range.first)
            for id in Set([disk, shown]).sorted() where disk != shown && UInt64(id) >= next && UInt64(id) < end {
                if UInt64(id) > next { lines.append("\(next) \(next) \(UInt64(id) - next)") }
                lines.append("\(id) \(id == disk ? shown : disk) 1")
                next = UInt64(id) + 1
            }
            if next < end { lines.append("\(next) \(next) \(end - next)") }
        }
        return lines.map { $0 + "\n" }.joined()
    }

    /// A user namespace with such a mapping.
    static func userNamespace(disk: CacheOwner, shown: CacheOwner) throws(SystemError) -> OwnedDescriptorBox {
        let uids = map(disk: disk.uid, shown: shown.uid, known: try known("/proc/self/uid_map"))
        let gids = map(disk: disk.gid, shown: shown.gid, known: try known("/proc/self/gid_map"))
        let raw = larder_user_namespace(uids, gids)
        guard raw >= 0 else { throw SystemError("user namespace") }
        return OwnedDescriptorBox(raw)
    }

    private static func known(_ path: String) throws(SystemError) -> [(first: UInt32, count: UInt32)] {
        let bytes = try OwnedDescriptor.open(path, O_RDONLY).readToEnd(limit: 64 << 10)
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ").compactMap { UInt32($0) }
            return fields.count == 3 ? (fields[0], fields[2]) : nil
        }
    }
}
