import Glibc
import LinuxIO
import Synchronization

/// Numbers for trees: line N of `trees/serials` is the key of serial N. Serial 0 belongs to no tree on disk.
///
/// The file only ever grows, so a serial is never given to another key, and every process sees the same numbers. A serial is
/// told to nobody before its line is on disk; a line without its newline is what a crash left, was told to nobody, and
/// is cut off by the next writer.
final class TreeSerials: Sendable {
    private struct Known {
        var serials: [String: UInt32] = [:]
        var keys: [String] = []
        /// Bytes of the file behind `keys`; always just behind a newline.
        var end: UInt64 = 0
    }

    private let root: Directory
    private let known = Mutex(Known())

    init(_ root: Directory) { self.root = root }

    /// The serial of `key` if it has one.
    func find(_ key: String) throws(StoreError) -> UInt32? {
        try known.withLock { known throws(StoreError) in
            if let serial = known.serials[key] { return serial }
            try catchUp(&known)
            return known.serials[key]
        }
    }

    /// The serial of `key`, handed out now if it has none.
    func assign(_ key: String) throws(StoreError) -> UInt32 {
        guard StoreText.isPlain(key) else { throw .badKey(key) }
        return try known.withLock { known throws(StoreError) in
            if let serial = known.serials[key] { return serial }
            return try withLock(StoreLayout.serialsLock, in: root) { () throws(StoreError) in
                try catchUp(&known)
                if let serial = known.serials[key] { return serial }
                try append(key, at: known.end)
                try catchUp(&known)
                guard let serial = known.serials[key] else { throw .damaged(path: path, reason: "a line that was written is not there") }
                return serial
            }
        }
    }

    /// All keys in order: the first is that of serial 1.
    func keys() throws(StoreError) -> [String] {
        try known.withLock { known throws(StoreError) in
            try catchUp(&known)
            return known.keys
        }
    }

    func key(of serial: UInt32) throws(StoreError) -> String? {
        try known.withLock { known throws(StoreError) in
            let position = Int(serial) - 1
            if position >= known.keys.count { try catchUp(&known) }
            return known.keys.indices.contains(position) ? known.keys[position] : nil
        }
    }

    private var path: String { "\(root.path)/\(StoreLayout.serials)" }

    /// Reads the lines that were added since last time.
    private func catchUp(_ known: inout Known) throws(StoreError) {
        let end = known.end
        let added = try inStore(root) { () throws(SystemError) -> [UInt8]? in
            guard let file = try root.openIfPresent(StoreLayout.serials, O_RDONLY | O_NOFOLLOW) else { return end == 0 ? [] : nil }
            let size = try file.size()
            guard size >= end else { return nil }
            if size == end { return [] }
            let bytes = try file.read(Int(size - end), at: end)
            // Another process may have written these lines just now and still be waiting for the disk.
            try file.syncData()
            return bytes
        }
        guard let added else {
            throw .damaged(path: path, reason: "it has become shorter, so serials would be given out twice; restart with a new store")
        }
        var rest = added[...]
        while let newline = rest.firstIndex(of: UInt8(ascii: "\n")) {
            let key = String(decoding: rest[..<newline], as: UTF8.self)
            known.keys.append(key)
            guard let serial = UInt32(exactly: known.keys.count) else { throw .damaged(path: path, reason: "it has more than 2^32 lines") }
            // Should a lock have failed and a key be there twice, both serials mean the same tree; the first is told.
            if known.serials[key] == nil { known.serials[key] = serial }
            known.end += UInt64(newline - rest.startIndex + 1)
            rest = rest[(newline + 1)...]
        }
    }

    private func append(_ key: String, at end: UInt64) throws(StoreError) {
        try inStore(root) { () throws(SystemError) in
            let isNew = !root.exists(StoreLayout.serials)
            let file = try root.open(StoreLayout.serials, O_WRONLY | O_CREAT | O_NOFOLLOW)
            guard ftruncate(file.raw, off_t(end)) == 0 else { throw SystemError("truncate", path: path) }
            try file.write(Array(key.utf8) + [UInt8(ascii: "\n")], at: end)
            try file.syncData()
            if isNew { try root.syncParent(of: StoreLayout.serials) }
        }
    }
}
