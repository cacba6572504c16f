import CLinux
import Glibc
import LinuxIO

// Names that go or move.
extension LiveTree {
    /// The object behind a name that is about to go: it may be open, or somebody's working directory.
    private struct Victim {
        let node: NodeID
        let file: LiveFile
        let isDirectory: Bool
        let links: UInt32
    }

    public func unlink(_ parent: NodeID, _ name: UnsafeRawBufferPointer, for caller: Caller) throws(FSError) {
        try remove(parent, name, flags: 0)
    }

    public func removeDirectory(_ parent: NodeID, _ name: UnsafeRawBufferPointer, for caller: Caller) throws(FSError) {
        try remove(parent, name, flags: AT_REMOVEDIR)
    }

    private func remove(_ parent: NodeID, _ name: UnsafeRawBufferPointer, flags: Int32) throws(FSError) {
        let directory = try directory(parent)
        defer { extendLifetime(directory) }
        try Self.withComponent(name) { component throws(FSError) in
            let victim = victim(directory, component)
            guard unlinkat(directory.raw, component, flags) == 0 else { throw .system(errno) }
            settle(victim, parent, name)
        }
    }

    public func rename(
        _ parent: NodeID, _ name: UnsafeRawBufferPointer, to newParent: NodeID, _ newName: UnsafeRawBufferPointer, flags: UInt32,
        for caller: Caller
    ) throws(FSError) {
        try requireOwn(newParent)
        let source = try directory(parent)
        defer { extendLifetime(source) }
        let target = try directory(newParent)
        defer { extendLifetime(target) }
        try Self.withComponent(name) { old throws(FSError) in
            try Self.withComponent(newName) { new throws(FSError) in
                let isReplacing = flags & (Self.noReplace | Self.exchange) == 0
                let victim = isReplacing ? victim(target, new) : nil
                let moved = isPrivileged ? nil : knownNode(source, old)
                let exchanged = isPrivileged || flags & Self.exchange == 0 ? nil : knownNode(target, new)
                let call = { larder_rename(source.raw, old, target.raw, new, flags) }
                // A whiteout is made, so it belongs to the caller.
                if flags & Self.whiteout != 0 { _ = try asCaller(caller, call) } else { try Self.check(call()) }
                settle(victim, newParent, newName)
                if let moved { nodes.put(moved, in: newParent, newName) }
                if let exchanged { nodes.put(exchanged, in: parent, name) }
            }
        }
    }

    // RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT of linux/fs.h.
    private static var noReplace: UInt32 { 1 }
    private static var exchange: UInt32 { 2 }
    private static var whiteout: UInt32 { 4 }

    private func knownNode(_ directory: LiveFile, _ name: UnsafePointer<CChar>) -> NodeID? {
        var object = larder_object()
        guard let identity = try? look(directory.raw, name, &object) else { return nil }
        return nodes.node(of: identity)
    }

    /// nil where the kernel does not know the object. What is wrong with the name, the call that follows will say.
    private func victim(_ directory: LiveFile, _ name: UnsafePointer<CChar>) -> Victim? {
        let raw = relieved { larder_open_component(directory.raw, name, larder_o_path, 0) }
        guard raw >= 0 else { return nil }
        let file = LiveFile(OwnedDescriptor(owning: raw))
        var object = larder_object()
        defer { extendLifetime(file) }
        guard let identity = try? look(raw, "", &object), let node = nodes.node(of: identity) else { return nil }
        return Victim(node: node, file: file, isDirectory: object.mode & S_IFMT == S_IFDIR, links: object.links)
    }

    /// The name has gone. Keeps what has no other for those who still use it; a name that somebody adds at this moment
    /// only makes that superfluous.
    private func settle(_ victim: Victim?, _ parent: NodeID, _ name: UnsafeRawBufferPointer) {
        guard let victim else { return }
        if victim.isDirectory { directories.remove(victim.node) }
        // By place, an object is also lost when it is another name of it that goes.
        guard victim.isDirectory || victim.links <= 1 || (!isPrivileged && nodes.isPlaced(victim.node, in: parent, name)) else { return }
        nodes.keep(victim.node, victim.file)
    }
}
