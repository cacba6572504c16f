import Glibc
import LinuxIO

/// How much a tree takes, as du(1) counts: a file with several names once, and the top directory itself too.
public struct TreeSize: Sendable, Hashable {
    /// Bytes of disk, also for directories.
    public var allocatedBytes: UInt64 = 0
    /// Bytes of content: of files, and of the targets of symlinks.
    public var apparentBytes: UInt64 = 0
    /// Everything but directories, a file with several names once.
    public var files: UInt64 = 0
    public var directories: UInt64 = 0
    /// The latest reading or writing of a file, as far as the disk keeps account (relatime: within a day).
    public var lastUse: Moment?

    public init() {}
}

/// Adds trees up; what two of them share by hard links counts once.
public struct TreeMeasure {
    public private(set) var total = TreeSize()
    private var linked: Set<FileIdentity> = []

    public init() {}

    /// - Throws: `system`.
    public mutating func add(_ top: Directory) throws(CacheError) {
        try inCache { () throws(SystemError) in
            count(try top.descriptor.status())
            try TreeWalk.visit(top) { item throws(SystemError) in count(item.status) }
        }
    }

    private mutating func count(_ status: stat) {
        if status.isDirectory {
            total.directories += 1
        } else {
            if status.st_nlink > 1 && !linked.insert(status.identity).inserted { return }
            total.files += 1
            total.apparentBytes += UInt64(max(0, status.st_size))
            total.lastUse = max(total.lastUse ?? status.lastUse, status.lastUse)
        }
        total.allocatedBytes += status.allocatedBytes
    }
}

extension CacheLibrary {
    /// The size of one instance, or of all together, in which what they share counts once.
    public func size(of name: CacheName, instance: Int? = nil) throws(CacheError) -> TreeSize {
        let place = try place(of: name)
        var measure = TreeMeasure()
        let all = try Instances.numbers(in: place.directory)
        for number in instance.map({ [$0] }) ?? all {
            try measure.add(try inCache { () throws(SystemError) in try place.directory.directory(CacheLayout.instance(number)) })
        }
        return measure.total
    }
}
