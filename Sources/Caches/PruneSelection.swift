import Glibc
import LinuxIO

/// The files of a cache that a rule throws away.
struct PruneSelection {
    private(set) var files: [PruneReport.File] = []
    private(set) var freedBytes: UInt64 = 0
    /// Allocated by everything before.
    private(set) var totalBytes: UInt64 = 0
    private let place: CachePlace

    /// One file with all its names in the cache.
    private struct Candidate {
        var names: [(instance: Int, path: [UInt8])]
        let allocatedBytes: UInt64
        let lastUse: Moment
        let links: UInt64
    }

    init(_ place: CachePlace, _ rule: PruneRule, _ now: Moment) throws(CacheError) {
        self.place = place
        var candidates: [Candidate] = []
        var linked: [FileIdentity: Int] = [:]
        var total: UInt64 = 0
        for number in try Instances.numbers(in: place.directory) {
            try inCache { () throws(SystemError) in
                let top = try place.directory.directory(CacheLayout.instance(number))
                total += try top.descriptor.status().allocatedBytes
                try TreeWalk.visit(top) { item throws(SystemError) in
                    let status = item.status
                    if status.isDirectory {
                        total += status.allocatedBytes
                    } else if let known = linked[status.identity] {
                        candidates[known].names.append((number, item.path))
                    } else {
                        if status.st_nlink > 1 { linked[status.identity] = candidates.count }
                        total += status.allocatedBytes
                        candidates.append(
                            Candidate(
                                names: [(number, item.path)], allocatedBytes: status.allocatedBytes, lastUse: status.lastUse,
                                links: UInt64(status.st_nlink)))
                    }
                }
            }
        }
        totalBytes = total
        // Oldest first; names decide between equals, so that the same cache is pruned the same way.
        for position in candidates.indices where candidates[position].names.count > 1 {
            candidates[position].names.sort { left, right in
                left.instance != right.instance ? left.instance < right.instance : left.path.lexicographicallyPrecedes(right.path)
            }
        }
        candidates.sort { left, right in
            if left.lastUse != right.lastUse { return left.lastUse < right.lastUse }
            return left.names[0].path.lexicographicallyPrecedes(right.names[0].path)
        }
        for candidate in candidates {
            let isIdle = rule.maxIdle.map { candidate.lastUse.duration(until: now) > $0 } ?? false
            let isOver = rule.maxSizeBytes.map { total - freedBytes > $0 } ?? false
            // What has a name outside the cache frees nothing: no reason to take it for the size's sake.
            let frees = candidate.links <= UInt64(candidate.names.count)
            guard isIdle || (isOver && frees && candidate.allocatedBytes > 0) else { continue }
            for (position, name) in candidate.names.enumerated() {
                let freed = frees && position == candidate.names.count - 1 ? candidate.allocatedBytes : 0
                files.append(PruneReport.File(instance: name.instance, path: name.path, allocatedBytes: freed, lastUse: candidate.lastUse))
                freedBytes += freed
            }
        }
    }

    /// Removes the files, and the directories that are empty by that.
    func remove() throws(CacheError) {
        try inCache { () throws(SystemError) in
            for file in files {
                let top = try place.directory.directory(CacheLayout.instance(file.instance))
                try Self.remove(file.path[...], in: top)
            }
        }
    }

    private static func remove(_ path: ArraySlice<UInt8>, in directory: Directory) throws(SystemError) {
        let parts = path.split(separator: UInt8(ascii: "/"), maxSplits: 1)
        guard let first = parts.first else { return }
        let entry = DirectoryEntry(name: Array(first))
        if parts.count == 2 {
            guard let child = try directory.directory(entry) else { return }
            try remove(parts[1], in: child)
            // Not empty: others live there.
            _ = entry.withName { unlinkat(directory.descriptor.raw, $0, AT_REMOVEDIR) }
        } else if entry.withName({ unlinkat(directory.descriptor.raw, $0, 0) }) != 0 && errno != ENOENT {
            throw SystemError("unlink", path: directory.path + "/" + entry.text)
        }
    }
}
