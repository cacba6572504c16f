import Caches
import Glibc

/// Changes: caches are changed by their live trees. Of what Larder makes itself, `mkdir` and `rmdir` in `caches/` make and
/// remove caches. Everything else is an image's, and read-only.
extension LarderFileSystem {
    /// - Throws: `.stale` where the tree has gone with its cache or lease.
    @inline(__always)
    func live(_ node: NodeID) throws(FSError) -> LiveTree {
        guard let tree = caches?.live[node] else { throw .stale }
        return tree
    }

    /// The tree to change; `.readOnly` for a node of no live tree.
    @inline(__always)
    private func changing(_ node: NodeID) throws(FSError) -> LiveTree {
        guard node.isLive else { throw try isCaches(node) ? .system(EPERM) : .readOnly }
        return try live(node)
    }

    private func isCaches(_ node: NodeID) throws(FSError) -> Bool {
        guard node.serial == SyntheticTable.serial, caches != nil else { return false }
        return try synthetic.node(node) == .caches
    }

    public func admitChange(_ node: NodeID) throws(FSError) -> Answer<Void> {
        // Making a cache takes no lease.
        guard node.isLive else { return try isCaches(node) ? .ready(()) : { () throws(FSError) in throw .readOnly }() }
        return try live(node).admitChange(node)
    }

    public func coldAdmitChange(_ node: NodeID) async throws(FSError) { try await changing(node).coldAdmitChange(node) }

    // MARK: - caches/

    /// The root of a live tree. A cache can be removed and made again, so its name is asked for again soon where nobody would be told.
    func rootEntry(_ tree: LiveTree, nameLifetime: Double? = nil) throws(FSError) -> Entry {
        guard case .ready(var entry) = try tree.attributes(tree.root) else { throw .stale }
        entry.nameLifetime = nameLifetime ?? min(entry.nameLifetime, 1)
        return entry
    }

    /// nil for a cache that nobody has looked into yet, and for what is none.
    func lookupKnownCache(_ component: UnsafeRawBufferPointer) throws(FSError) -> Entry? {
        guard let (tree, lifetime) = caches?.known(encoded: component) else { return nil }
        return try rootEntry(tree, nameLifetime: lifetime)
    }

    func lookupCache(_ component: [UInt8]) throws(FSError) -> Entry {
        guard let tree = try caches?.tree(encoded: component) else { return .absent(lifetime: 0) }
        return try rootEntry(tree)
    }

    public func makeDirectory(_ parent: NodeID, _ name: UnsafeRawBufferPointer, mode: UInt32, for caller: Caller) throws(FSError) -> Entry {
        guard let caches, try isCaches(parent) else { return try changing(parent).makeDirectory(parent, name, mode: mode, for: caller) }
        // What is typed is the directory's name: `%2F` for a slash in the cache's.
        guard let cache = CacheName(encoded: name), cache.encoded.utf8.elementsEqual(name) else { throw .invalid }
        var settings = CacheSettings()
        settings.owner = CacheOwner(uid: caller.uid, gid: caller.gid)
        settings.mode = mode & 0o7777
        try caches.told { () throws(CacheError) in try caches.library.create(cache, settings) }
        return try lookupCache([UInt8](name))
    }

    /// As everywhere, only an empty one goes this way; `larder cache rm` removes one with all that is in it.
    public func removeDirectory(_ parent: NodeID, _ name: UnsafeRawBufferPointer, for caller: Caller) throws(FSError) {
        guard let caches, try isCaches(parent) else { return try changing(parent).removeDirectory(parent, name, for: caller) }
        try caches.removeEmpty(encoded: [UInt8](name))
    }

    // MARK: - In a cache

    public func setAttributes(_ node: NodeID, handle: UInt64?, _ change: AttributeChange, for caller: Caller) throws(FSError) -> Entry {
        try changing(node).setAttributes(node, handle: handle, change, for: caller)
    }

    public func create(
        _ parent: NodeID, _ name: UnsafeRawBufferPointer, mode: UInt32, flags: Int32, for caller: Caller
    ) throws(FSError) -> (Entry, OpenedFile) {
        try changing(parent).create(parent, name, mode: mode, flags: flags, for: caller)
    }

    public func createUnnamed(_ parent: NodeID, mode: UInt32, flags: Int32, for caller: Caller) throws(FSError) -> (Entry, OpenedFile) {
        try changing(parent).createUnnamed(parent, mode: mode, flags: flags, for: caller)
    }

    public func makeNode(
        _ parent: NodeID, _ name: UnsafeRawBufferPointer, mode: UInt32, deviceMajor: UInt32, deviceMinor: UInt32, for caller: Caller
    ) throws(FSError) -> Entry {
        try changing(parent).makeNode(parent, name, mode: mode, deviceMajor: deviceMajor, deviceMinor: deviceMinor, for: caller)
    }

    public func makeSymlink(
        _ parent: NodeID, _ name: UnsafeRawBufferPointer, target: UnsafeRawBufferPointer, for caller: Caller
    ) throws(FSError) -> Entry {
        try changing(parent).makeSymlink(parent, name, target: target, for: caller)
    }

    public func link(_ node: NodeID, to parent: NodeID, _ name: UnsafeRawBufferPointer, for caller: Caller) throws(FSError) -> Entry {
        try changing(parent).link(node, to: parent, name, for: caller)
    }

    public func unlink(_ parent: NodeID, _ name: UnsafeRawBufferPointer, for caller: Caller) throws(FSError) {
        try changing(parent).unlink(parent, name, for: caller)
    }

    /// From one cache to another is from one filesystem to another.
    public func rename(
        _ parent: NodeID, _ name: UnsafeRawBufferPointer, to newParent: NodeID, _ newName: UnsafeRawBufferPointer, flags: UInt32,
        for caller: Caller
    ) throws(FSError) {
        try changing(parent).rename(parent, name, to: newParent, newName, flags: flags, for: caller)
    }

    public func write(
        _ node: NodeID, handle: UInt64, at offset: UInt64, _ bytes: UnsafeRawBufferPointer, killsPrivileges: Bool
    ) throws(FSError) -> Int {
        try changing(node).write(node, handle: handle, at: offset, bytes, killsPrivileges: killsPrivileges)
    }

    public func allocate(_ node: NodeID, handle: UInt64, mode: Int32, offset: UInt64, length: UInt64) throws(FSError) {
        try changing(node).allocate(node, handle: handle, mode: mode, offset: offset, length: length)
    }

    /// Into a cache from anywhere else in the mount the kernel copies by reading and writing.
    public func copyRange(
        from source: NodeID, handle: UInt64, at sourceOffset: UInt64, to target: NodeID, handle targetHandle: UInt64,
        at targetOffset: UInt64, length: UInt64, flags: UInt32
    ) throws(FSError) -> UInt64 {
        let tree = try changing(target)
        guard source.isLive, try live(source) === tree else { throw .system(EXDEV) }
        return try tree.copyRange(
            from: source, handle: handle, at: sourceOffset, to: target, handle: targetHandle, at: targetOffset, length: length, flags: flags)
    }

    public func seek(_ node: NodeID, handle: UInt64, from offset: UInt64, whence: Int32) throws(FSError) -> UInt64 {
        guard node.isLive else { throw .unsupported }
        return try live(node).seek(node, handle: handle, from: offset, whence: whence)
    }

    public func synchronize(_ node: NodeID, handle: UInt64, dataOnly: Bool) throws(FSError) {
        guard node.isLive else { return }
        try live(node).synchronize(node, handle: handle, dataOnly: dataOnly)
    }

    public func setAttribute(
        _ node: NodeID, _ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, flags: Int32, for caller: Caller
    ) throws(FSError) {
        try changing(node).setAttribute(node, name, value, flags: flags, for: caller)
    }

    public func removeAttribute(_ node: NodeID, _ name: UnsafeRawBufferPointer, for caller: Caller) throws(FSError) {
        try changing(node).removeAttribute(node, name, for: caller)
    }
}
