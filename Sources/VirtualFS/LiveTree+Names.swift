import CLinux
import Glibc
import LinuxIO

// Finding and making names.
extension LiveTree {
    public func lookup(_ parent: NodeID, _ name: UnsafeRawBufferPointer) throws(FSError) -> Answer<Entry> {
        let lifetime = gate.lifetime
        let directory = try directory(parent)
        defer { extendLifetime(directory) }
        do throws(FSError) {
            let entry = try Self.withComponent(name) { component throws(FSError) in
                try remember(parent, directory, name, component, lifetime)
            }
            if entry.attributes.mode & S_IFMT != S_IFDIR { habit.looked(in: parent) }
            return .ready(entry)
        } catch {
            guard error == .system(ENOENT) else { throw error }
            return .ready(.absent(lifetime: lifetime))
        }
    }

    /// Looks the name up and counts that.
    @inline(__always)
    func remember(
        _ parent: NodeID, _ directory: LiveFile, _ name: UnsafeRawBufferPointer, _ component: UnsafePointer<CChar>, _ lifetime: Double
    ) throws(FSError) -> Entry {
        var object = larder_object()
        let node = nodes.remember(try look(directory.raw, component, &object))
        if !isPrivileged { nodes.put(node, in: parent, name) }
        return Self.entry(node, object, lifetime: lifetime)
    }

    public func forget(_ node: NodeID, count: UInt64) {
        guard node != root, LiveNumbers.tree(of: node) == number else { return }
        nodes.forget(node, count: count)
        files.remove(node)
    }

    public func makeNode(
        _ parent: NodeID, _ name: UnsafeRawBufferPointer, mode: UInt32, deviceMajor: UInt32, deviceMinor: UInt32, for caller: Caller
    ) throws(FSError) -> Entry {
        try make(parent, name, for: caller) { larder_make_node($0, $1, mode, deviceMajor, deviceMinor) }
    }

    public func makeDirectory(_ parent: NodeID, _ name: UnsafeRawBufferPointer, mode: UInt32, for caller: Caller) throws(FSError) -> Entry {
        try make(parent, name, for: caller) { mkdirat($0, $1, mode) == 0 ? 0 : -errno }
    }

    public func makeSymlink(
        _ parent: NodeID, _ name: UnsafeRawBufferPointer, target: UnsafeRawBufferPointer, for caller: Caller
    ) throws(FSError) -> Entry {
        guard target.count < Int(PATH_MAX) else { throw .nameTooLong }
        return try withUnsafeTemporaryAllocation(of: CChar.self, capacity: target.count + 1) { buffer throws(FSError) in
            UnsafeMutableRawBufferPointer(buffer).copyMemory(from: target)
            buffer[target.count] = 0
            let text = UnsafePointer(buffer.baseAddress!)
            return try make(parent, name, for: caller) { symlinkat(text, $0, $1) == 0 ? 0 : -errno }
        }
    }

    @inline(__always)
    private func make(
        _ parent: NodeID, _ name: UnsafeRawBufferPointer, for caller: Caller, _ call: (Int32, UnsafePointer<CChar>) -> Int32
    ) throws(FSError) -> Entry {
        let directory = try directory(parent)
        defer { extendLifetime(directory) }
        return try Self.withComponent(name) { component throws(FSError) in
            _ = try asCaller(caller) { call(directory.raw, component) }
            return try remember(parent, directory, name, component, gate.lifetime)
        }
    }

    public func link(_ node: NodeID, to parent: NodeID, _ name: UnsafeRawBufferPointer, for caller: Caller) throws(FSError) -> Entry {
        try requireOwn(node)
        let file = try anyFile(node)
        defer { extendLifetime(file) }
        let directory = try directory(parent)
        defer { extendLifetime(directory) }
        let object = try Self.withComponent(name) { component throws(FSError) in
            try Self.check(larder_link_object(file.raw, directory.raw, component))
            return try status(of: file.raw)
        }
        nodes.remember(node)
        nodes.adopted(node)
        if !isPrivileged { nodes.put(node, in: parent, name) }
        return Self.entry(node, object, lifetime: gate.lifetime)
    }
}
