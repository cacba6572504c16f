import CLinux
import Glibc
import LinuxIO

// From node ids to descriptors, and from what a descriptor shows to node ids.
extension LiveTree {
    /// The count or descriptor that a call of CLinux answered, or its errno.
    @inline(__always) @discardableResult
    static func check(_ result: Int32) throws(FSError) -> Int32 {
        guard result >= 0 else { throw .system(-result) }
        return result
    }

    @inline(__always) @discardableResult
    static func check(_ result: Int) throws(FSError) -> Int {
        guard result >= 0 else { throw .system(Int32(truncatingIfNeeded: -result)) }
        return result
    }

    /// One component of a path as the system calls want it, on the stack.
    @inline(__always)
    static func withComponent<Value>(
        _ name: UnsafeRawBufferPointer, _ body: (UnsafePointer<CChar>) throws(FSError) -> Value
    ) throws(FSError) -> Value {
        guard name.count <= Int(NAME_MAX) else { throw .nameTooLong }
        var bytes = InlineArray<256, CChar>(repeating: 0)
        for index in 0..<name.count {
            guard name[index] != 0, name[index] != UInt8(ascii: "/") else { throw .invalid }
            bytes[index] = CChar(bitPattern: name[index])
        }
        guard bytes[0] != 0 else { throw .notFound }
        if bytes[0] == CChar(UInt8(ascii: ".")) {
            guard bytes[1] != 0, bytes[1] != CChar(UInt8(ascii: ".")) || bytes[2] != 0 else { throw .invalid }
        }
        return try bytes.span.withUnsafeBufferPointer { buffer throws(FSError) in try body(buffer.baseAddress!) }
    }

    // MARK: - Looking

    /// `name` in `directory`, or with "" that descriptor's own object. Another filesystem's is not ours to show.
    @inline(__always)
    func look(_ directory: Int32, _ name: UnsafePointer<CChar>, _ object: inout larder_object) throws(FSError) -> LiveIdentity {
        let identity: LiveIdentity
        if isPrivileged {
            var handle = larder_handle()
            try Self.check(larder_look_with_handle(directory, name, &object, &handle))
            identity = LiveIdentity(handle)
        } else {
            try Self.check(larder_look(directory, name, &object))
            identity = LiveIdentity(object)
        }
        guard object.mount == mount else { throw .system(EXDEV) }
        return identity
    }

    func status(of descriptor: Int32) throws(FSError) -> larder_object {
        var object = larder_object()
        try Self.check(larder_look(descriptor, "", &object))
        return object
    }

    @inline(__always)
    static func entry(_ node: NodeID, _ object: borrowing larder_object, lifetime: Double) -> Entry {
        var attributes = Attributes(
            node: node, mode: object.mode, linkCount: object.links, uid: object.uid, gid: object.gid,
            deviceMajor: object.device_major, deviceMinor: object.device_minor, size: object.size, blocks: object.blocks,
            modifiedSeconds: object.modified, modifiedNanoseconds: object.modified_ns)
        attributes.inode = object.inode
        attributes.accessedSeconds = object.accessed
        attributes.accessedNanoseconds = object.accessed_ns
        attributes.changedSeconds = object.changed
        attributes.changedNanoseconds = object.changed_ns
        return Entry(attributes, nameLifetime: lifetime, attributeLifetime: lifetime)
    }

    // MARK: - Opening

    /// A descriptor for operations on names in it.
    @inline(__always)
    func directory(_ node: NodeID) throws(FSError) -> LiveFile {
        if node == root { return rootFile }
        if let file = directories[node] { return file }
        let file = LiveFile(try open(node, larder_o_path | O_DIRECTORY))
        directories.put(node, file)
        return file
    }

    /// Some descriptor of the object, which may be O_PATH: for attributes and what else works on any.
    func anyFile(_ node: NodeID) throws(FSError) -> LiveFile {
        if node == root { return rootFile }
        if let file = files[node] ?? recent[node] ?? directories[node] { return file }
        return LiveFile(try open(node, larder_o_path | O_NOFOLLOW))
    }

    /// A descriptor to read the regular file's content from, or to write it to. Kept while the kernel has it open.
    func contentFile(_ node: NodeID, writing: Bool) throws(FSError) -> LiveFile {
        let present = files[node]
        if let present, writing ? present.canWrite : present.canRead { return present }
        let file = try openContent(node, writing: writing, both: present != nil)
        if let known = nodes.known(node), known.opens > 0 {
            files.put(node, file)
            // The last release may have come between.
            if nodes.known(node)?.opens ?? 0 == 0 { files.remove(node) }
        }
        return file
    }

    /// `both`: somebody has it open the other way, so that is wanted too if it can be had.
    private func openContent(_ node: NodeID, writing: Bool, both: Bool) throws(FSError) -> LiveFile {
        if both || writing {
            do throws(FSError) {
                return LiveFile(try open(node, O_RDWR | O_NONBLOCK), canRead: true, canWrite: true)
            } catch {
                guard error == .system(EACCES) || !writing else { throw error }
            }
        }
        return LiveFile(try open(node, (writing ? O_WRONLY : O_RDONLY) | O_NONBLOCK), canRead: !writing, canWrite: writing)
    }

    /// Opens the object that the node is, under whatever name.
    func open(_ node: NodeID, _ flags: Int32) throws(FSError) -> OwnedDescriptor {
        guard let known = nodes.known(node) else { throw .stale }
        let result: Int32
        if known.isOrphan, let orphan = nodes.orphan(node) {
            defer { extendLifetime(orphan) }
            // O_NOFOLLOW would stop at the link in /proc.
            result = flags & larder_o_path != 0 ? fcntl(orphan.raw, F_DUPFD_CLOEXEC, 0) : larder_reopen(orphan.raw, flags & ~O_NOFOLLOW)
        } else if isPrivileged {
            var handle = known.identity.handle
            result = relieved { larder_open_handle(rootFile.raw, &handle, flags) }
        } else {
            return try openByPlace(node, known.identity, flags)
        }
        guard result >= 0 else { throw result == -ESTALE ? .stale : .system(result == -1 ? errno : -result) }
        return OwnedDescriptor(owning: result)
    }

    /// Runs it again without our spare descriptors when there are no more to be had.
    @inline(__always)
    func relieved(_ body: () -> Int32) -> Int32 {
        let result = body()
        guard result == -EMFILE || result == -ENFILE else { return result }
        directories.removeAll()
        files.removeAll()
        recent.removeAll()
        return body()
    }

    private func openByPlace(_ node: NodeID, _ identity: LiveIdentity, _ flags: Int32) throws(FSError) -> OwnedDescriptor {
        if node == root {
            let raw = openat(rootFile.raw, ".", flags | O_CLOEXEC)
            guard raw >= 0 else { throw .system(errno) }
            return OwnedDescriptor(owning: raw)
        }
        guard let place = nodes.place(of: node) else { throw .stale }
        let parent = try directory(place.parent)
        defer { extendLifetime(parent) }
        let raw = try place.name.span.withUnsafeBytes { name throws(FSError) -> Int32 in
            try Self.withComponent(name) { name throws(FSError) -> Int32 in
                try Self.check(relieved { larder_open_component(parent.raw, name, larder_o_path, 0) })
            }
        }
        let found = OwnedDescriptor(owning: raw)
        var object = larder_object()
        guard try look(found.raw, "", &object) == identity else { throw .stale }
        guard flags & larder_o_path == 0 else {
            guard flags & O_DIRECTORY == 0 || object.mode & S_IFMT == S_IFDIR else { throw .system(ENOTDIR) }
            return found
        }
        return OwnedDescriptor(owning: try Self.check(larder_reopen(found.raw, flags & ~O_NOFOLLOW)))
    }

    // MARK: - In the caller's name

    /// What `body` makes belongs to the caller, with the mode it asks for.
    @inline(__always)
    func asCaller(_ caller: Caller, _ body: () -> Int32) throws(FSError) -> Int32 {
        guard isPrivileged, caller.uid != 0 || caller.gid != 0 else {
            larder_forget_umask()
            return try Self.check(relieved(body))
        }
        try Self.check(larder_act_as(caller.uid, caller.gid))
        defer { larder_act_as_self() }
        return try Self.check(relieved(body))
    }
}
