import Glibc
import LinuxIO

/// How much is kept.
public struct StoreUsage: Sendable, Equatable {
    /// Objects of one kind.
    public struct Part: Sendable, Equatable {
        public var count = 0
        /// Bytes of disk, not of content.
        public var allocatedBytes: UInt64 = 0
    }

    public var blobs = Part()
    public var trees = Part()
    public var spans = Part()
    public var objects = Part()
    public var quarantine = Part()

    public var allocatedBytes: UInt64 {
        blobs.allocatedBytes + trees.allocatedBytes + spans.allocatedBytes + objects.allocatedBytes + quarantine.allocatedBytes
    }
}

extension Store {
    /// Counts what is there by looking at every file: about a second for 150,000.
    public func usage() throws(StoreError) -> StoreUsage {
        try inStore(root) { () throws(SystemError) in
            var usage = StoreUsage()
            usage.blobs = try measure([StoreLayout.blobs])
            usage.trees = try measure([StoreLayout.trees])
            usage.objects = try measure([StoreLayout.objects])
            usage.quarantine = try measure([StoreLayout.quarantine])
            let keys = try root.directoryIfPresent(StoreLayout.spans)?.list() ?? []
            usage.spans = try measure(keys.map { "\(StoreLayout.spans)/\($0)" })
            return usage
        }
    }

    private func measure(_ directories: [String]) throws(SystemError) -> StoreUsage.Part {
        var part = StoreUsage.Part()
        // A sealed index has two names and is one file.
        var linked: Set<UInt64> = []
        for name in directories {
            guard let directory = try root.directoryIfPresent(name) else { continue }
            for entry in try directory.entries() {
                guard let status = try directory.statusIfPresent(entry.text), status.st_mode & S_IFMT == S_IFREG else { continue }
                part.count += 1
                if status.st_nlink > 1 && !linked.insert(UInt64(status.st_ino)).inserted { continue }
                part.allocatedBytes += UInt64(status.st_blocks) * 512
            }
        }
        return part
    }
}
