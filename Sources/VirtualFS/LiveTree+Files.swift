import CLinux
import Glibc
import LinuxIO

// Opening, making and closing regular files.
extension LiveTree {
    /// An open file's handle: that it is one, and whether it counts as a writer with the gate. What else is needed hangs on
    /// the node, because the kernel, once it reads and writes below by itself, rarely asks for more.
    private enum Handle {
        static let reading: UInt64 = 1
        static let writing: UInt64 = 3
    }

    /// A file of up to so many bytes is read through the page cache as long as nobody else can change it: the kernel takes a file that it
    /// reads below by itself for one whose access time has changed, and asks for its attributes after every read.
    static let pagedSize: Int64 = 128 << 10

    public func open(_ node: NodeID, flags: Int32) throws(FSError) -> Answer<OpenedFile> {
        guard let before = nodes.opened(node) else { throw .stale }
        let writes = flags & O_ACCMODE != O_RDONLY
        do throws(FSError) {
            if flags & O_TRUNC != 0 {
                let file = LiveFile(try open(node, O_RDWR | O_TRUNC | O_NONBLOCK), canRead: true, canWrite: true)
                files.put(node, file)
            } else if before == 0 || !isPrivileged {
                let file = try contentFile(node, writing: writes)
                defer { extendLifetime(file) }
                if !writes, keepsOpen, flags & larder_o_direct == 0, try status(of: file.raw).size <= Self.pagedSize {
                    return .ready(opened(writes: false, complete: false))
                }
            }
            return .ready(opened(writes: writes))
        } catch {
            if nodes.closed(node) { files.remove(node) }
            throw error
        }
    }

    public func reopen(_ node: NodeID, isBacked: Bool) throws(FSError) -> OpenedFile? {
        guard isBacked || keepsOpen else { return nil }
        guard nodes.opened(node) != nil else { throw .stale }
        if isBacked { nodes.backed(node) }
        return opened(writes: false)
    }

    private func opened(writes: Bool, complete: Bool = true) -> OpenedFile {
        if writes { gate.openedForWriting() }
        return OpenedFile(
            handle: writes ? Handle.writing : Handle.reading, caching: gate.lifetime > 0 ? .keepUnlessBacked : .fresh, complete: complete,
            stays: !writes && keepsOpen)
    }

    /// What was open for reading may stay so for whoever opens it next. Its blocks are not freed meanwhile, so only as long as we hear of
    /// whoever else may remove it.
    private var keepsOpen: Bool { isPrivileged && gate.lifetime == .infinity }

    /// Others have come who may remove what is open only for whoever opens it next.
    public func closeUnused() {
        // Of what is in use the same is opened again.
        if isPrivileged { files.removeAll() }
    }

    public func create(
        _ parent: NodeID, _ name: UnsafeRawBufferPointer, mode: UInt32, flags: Int32, for caller: Caller
    ) throws(FSError) -> (Entry, OpenedFile) {
        let directory = try directory(parent)
        defer { extendLifetime(directory) }
        return try Self.withComponent(name) { component throws(FSError) in
            let raw: Int32
            do throws(FSError) {
                // Whatever stands there already, it is not opened: it could be a device.
                raw = try asCaller(caller) { larder_open_component(directory.raw, component, O_RDWR | O_CREAT | O_EXCL, mode) }
            } catch {
                guard error == .system(EEXIST), flags & O_EXCL == 0 else { throw error }
                return try openExisting(parent, name, flags: flags, for: caller)
            }
            let file = LiveFile(OwnedDescriptor(owning: raw), canRead: true, canWrite: true)
            let (entry, opened) = try begin(file, writes: flags & O_ACCMODE != O_RDONLY)
            if !isPrivileged { nodes.put(entry.attributes.node, in: parent, name) }
            return (entry, opened)
        }
    }

    /// Somebody else made it since the kernel looked.
    private func openExisting(_ parent: NodeID, _ name: UnsafeRawBufferPointer, flags: Int32, for caller: Caller) throws(FSError) -> (Entry, OpenedFile) {
        guard case .ready(var entry) = try lookup(parent, name), !entry.isAbsent else { throw .stale }
        let node = entry.attributes.node
        do throws(FSError) {
            // The kernel looks again, and sees what it is.
            guard entry.attributes.mode & S_IFMT == S_IFREG else { throw .stale }
            guard case .ready(let file) = try open(node, flags: flags) else { throw .stale }
            if flags & O_TRUNC != 0 {
                if caller.uid != 0 { try clearSetID(contentFile(node, writing: true)) }
                if case .ready(let after) = try attributes(node) { entry = after }
            }
            return (entry, file)
        } catch {
            forget(node, count: 1)
            throw error
        }
    }

    public func createUnnamed(_ parent: NodeID, mode: UInt32, flags: Int32, for caller: Caller) throws(FSError) -> (Entry, OpenedFile) {
        let directory = try directory(parent)
        defer { extendLifetime(directory) }
        let raw = try asCaller(caller) {
            let raw = openat(directory.raw, ".", O_RDWR | larder_o_tmpfile | (flags & O_EXCL) | O_CLOEXEC, mode)
            return raw >= 0 ? raw : -errno
        }
        let file = LiveFile(OwnedDescriptor(owning: raw), canRead: true, canWrite: true)
        let (entry, opened) = try begin(file, writes: true)
        nodes.keep(entry.attributes.node, file)
        return (entry, opened)
    }

    private func begin(_ file: LiveFile, writes: Bool) throws(FSError) -> (Entry, OpenedFile) {
        var object = larder_object()
        let node = nodes.remember(try look(file.raw, "", &object), opening: true)
        files.put(node, file)
        return (Self.entry(node, object, lifetime: gate.lifetime), opened(writes: writes))
    }

    /// The kernel reads and writes by itself from here on and keeps the file alive. Our own descriptor stays for a while, for what
    /// still comes to us: one GETXATTR before the first write, and GETATTR after it.
    public func withBacking(_ node: NodeID, _ body: (Int32) -> Int32) throws(FSError) -> Int32? {
        let file = try contentFile(node, writing: false)
        defer { extendLifetime(file) }
        if file.canWrite || !keepsOpen {
            files.remove(node)
            recent.put(node, file)
        }
        nodes.backed(node)
        return body(file.raw)
    }

    public func release(_ node: NodeID, handle: UInt64) {
        if handle == Handle.writing { gate.closedAfterWriting() }
        guard nodes.closed(node) else { return }
        recent.remove(node)
        // Each has a number of its own below that: so many are kept at most, of all trees together.
        if keepsOpen, let file = files[node], !file.canWrite, file.raw < keptBelow { return }
        files.remove(node)
    }
}
