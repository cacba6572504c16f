import Glibc
import LinuxIO
import OCI

extension Store {
    /// Looks at everything. Also sets the running sums right.
    public func contents() throws(StoreError) -> StoreContents {
        var contents = StoreContents()
        // References first: an image that is added meanwhile has its reference before its content.
        let index = try referenceIndex()
        contents.images = index.references.map { StoredImage($0.0, $0.1, isPinned: index.isPinned($0.0), in: self) }
        for descriptor in index.foreignDescriptors { contents.foreign.formUnion(StoredImage(nil, descriptor, isPinned: true, in: self).everything) }
        contents.leased = try leasedLayers()

        for file in try files(in: StoreLayout.blobs, { Digest(hex: $0).map { .blob($0) } }) {
            if case .blob(let digest) = file.key { contents.blobs[digest] = file }
        }
        for file in try files(in: StoreLayout.objects, { Digest(hex: $0).map { .object($0) } }) {
            if case .object(let digest) = file.key { contents.objects[digest] = file }
        }
        for folder in try inStore(root, { () throws(SystemError) in try root.directoryIfPresent(StoreLayout.spans)?.list() ?? [] }) {
            guard let key = Digest(hex: folder) else { continue }
            let files = try files(in: "\(StoreLayout.spans)/\(folder)") { StoreKey.spanNumber($0).map { .span(key, $0) } }
            if !files.isEmpty { contents.spans[key] = files }
        }
        contents.trees = try scanTrees()
        contents.quarantine.garbage = try files(in: StoreLayout.quarantine) { _ in .blob(Digest(of: [])) }.reduce(0) { $0 + $1.allocatedBytes }
        contents.connect()
        // On a full disk even that may fail, and then there is the more reason to go on.
        if !isReadOnly { _ = try? account.set(contents.totals, now: Int64(time(nil))) }
        return contents
    }

    private func files(in folder: String, _ key: (String) -> StoreKey?) throws(StoreError) -> [StoredFile] {
        try inStore(root) { () throws(SystemError) in
            guard let directory = try root.directoryIfPresent(folder) else { return [] }
            var files: [StoredFile] = []
            for entry in try directory.entries() {
                guard let key = key(entry.text), let status = try directory.statusIfPresent(entry.text), status.st_mode & S_IFMT == S_IFREG else { continue }
                files.append(StoredFile(key: key, allocatedBytes: status.allocatedByteCount, lastUse: status.lastUseNanoseconds))
            }
            return files
        }
    }

    private func scanTrees() throws(StoreError) -> [StoredTree] {
        try inStore(root) { () throws(SystemError) in
            guard let directory = try root.directoryIfPresent(StoreLayout.trees) else { return [] }
            var trees: [StoredTree] = []
            var linked: [UInt64: Int] = [:]
            var keys: Set<Digest> = []
            for name in try directory.list() where name.hasSuffix(".index") {
                guard let key = Digest(hex: name.dropLast(6)), let status = try directory.statusIfPresent(name), status.st_mode & S_IFMT == S_IFREG else { continue }
                keys.insert(key)
                if let known = linked[UInt64(status.st_ino)] {
                    trees[known].names.append(key)
                    continue
                }
                linked[UInt64(status.st_ino)] = trees.count
                trees.append(
                    StoredTree(
                        names: [key], allocatedBytes: status.allocatedByteCount, lastUse: status.lastUseNanoseconds,
                        summary: summaries.summary(key, status, in: self)))
            }
            summaries.keep(keys)
            return trees
        }
    }

    /// Layers whose lease somebody holds.
    private func leasedLayers() throws(StoreError) -> Set<Digest> {
        try inStore(root) { () throws(SystemError) in
            var layers: Set<Digest> = []
            for name in try root.directoryIfPresent(StoreLayout.locks)?.list() ?? [] where name.hasPrefix("layer-") && name.hasSuffix(StoreLease.suffix) {
                guard let digest = Digest(hex: name.dropFirst(6).dropLast(StoreLease.suffix.count)) else { continue }
                if try FileLock.isHeld("\(StoreLayout.locks)/\(name)", in: root) { layers.insert(digest) }
            }
            return layers
        }
    }
}
