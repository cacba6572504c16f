import CFuse
import CLinux
import Glibc
import VirtualFS

/// Operations that change what a directory holds.
extension FuseAdapter {
    static func addNames(to operations: inout fuse_lowlevel_ops) {
        operations.create = { FuseAdapter.create(FuseRequest($0), FuseConnection.of($0).pointee, $1, $2, $3, $4) }
        operations.mknod = { FuseAdapter.makeNode(FuseRequest($0), FuseConnection.of($0).pointee, $1, $2, $3, $4) }
        operations.mkdir = { FuseAdapter.makeDirectory(FuseRequest($0), FuseConnection.of($0).pointee, $1, $2, $3) }
        operations.symlink = { FuseAdapter.makeSymlink(FuseRequest($0), FuseConnection.of($0).pointee, $1, $2, $3) }
        operations.link = { FuseAdapter.link(FuseRequest($0), FuseConnection.of($0).pointee, $1, $2, $3) }
        operations.unlink = { FuseAdapter.unlink(FuseRequest($0), FuseConnection.of($0).pointee, $1, $2) }
        operations.rmdir = { FuseAdapter.removeDirectory(FuseRequest($0), FuseConnection.of($0).pointee, $1, $2) }
        operations.rename = { FuseAdapter.rename(FuseRequest($0), FuseConnection.of($0).pointee, $1, $2, $3, $4, $5) }
    }

    typealias Name = UnsafePointer<CChar>?

    /// CREATE, and TMPFILE in its shape (see `DeviceIO`), where the name means nothing.
    private static func create(
        _ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ parent: fuse_ino_t, _ name: Name, _ mode: mode_t, _ info: FileInfo
    ) {
        let (parent, flags, caller) = (mount.node(parent), info?.pointee.flags ?? 0, request.caller)
        guard larder_request_opcode() != UInt32(LARDER_FUSE_TMPFILE) else {
            return request.change(parent, on: mount) { fileSystem, _, _ throws(FSError) in
                let (entry, file) = try fileSystem.createUnnamed(parent, mode: mode, flags: flags, for: caller)
                return .created(entry, file)
            }
        }
        request.change(parent, on: mount, UnsafeRawBufferPointer(cString: name)) { fileSystem, name, _ throws(FSError) in
            let (entry, file) = try fileSystem.create(parent, name, mode: mode, flags: flags, for: caller)
            return .created(entry, file)
        }
    }

    private static func makeNode(
        _ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ parent: fuse_ino_t, _ name: Name, _ mode: mode_t, _ device: dev_t
    ) {
        let (parent, caller) = (mount.node(parent), request.caller)
        let (major, minor) = larder_fuse_attr.deviceParts(UInt32(truncatingIfNeeded: device))
        request.change(parent, on: mount, UnsafeRawBufferPointer(cString: name)) { fileSystem, name, _ throws(FSError) in
            .entry(try fileSystem.makeNode(parent, name, mode: mode, deviceMajor: major, deviceMinor: minor, for: caller))
        }
    }

    private static func makeDirectory(
        _ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ parent: fuse_ino_t, _ name: Name, _ mode: mode_t
    ) {
        let (parent, caller) = (mount.node(parent), request.caller)
        request.change(parent, on: mount, UnsafeRawBufferPointer(cString: name)) { fileSystem, name, _ throws(FSError) in
            .entry(try fileSystem.makeDirectory(parent, name, mode: mode, for: caller))
        }
    }

    private static func makeSymlink(
        _ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ target: Name, _ parent: fuse_ino_t, _ name: Name
    ) {
        let (parent, caller) = (mount.node(parent), request.caller)
        let (name, target) = (UnsafeRawBufferPointer(cString: name), UnsafeRawBufferPointer(cString: target))
        request.change(parent, on: mount, name, target) { fileSystem, name, target throws(FSError) in
            .entry(try fileSystem.makeSymlink(parent, name, target: target, for: caller))
        }
    }

    private static func link(
        _ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ node: fuse_ino_t, _ parent: fuse_ino_t, _ name: Name
    ) {
        let (node, parent, caller) = (mount.node(node), mount.node(parent), request.caller)
        request.change(parent, on: mount, UnsafeRawBufferPointer(cString: name)) { fileSystem, name, _ throws(FSError) in
            .entry(try fileSystem.link(node, to: parent, name, for: caller))
        }
    }

    private static func unlink(_ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ parent: fuse_ino_t, _ name: Name) {
        let (parent, caller) = (mount.node(parent), request.caller)
        request.change(parent, on: mount, UnsafeRawBufferPointer(cString: name)) { fileSystem, name, _ throws(FSError) in
            try fileSystem.unlink(parent, name, for: caller)
            return .done
        }
    }

    private static func removeDirectory(_ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ parent: fuse_ino_t, _ name: Name) {
        let (parent, caller) = (mount.node(parent), request.caller)
        request.change(parent, on: mount, UnsafeRawBufferPointer(cString: name)) { fileSystem, name, _ throws(FSError) in
            try fileSystem.removeDirectory(parent, name, for: caller)
            return .done
        }
    }

    private static func rename(
        _ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ parent: fuse_ino_t, _ name: Name,
        _ newParent: fuse_ino_t, _ newName: Name, _ flags: UInt32
    ) {
        let (parent, newParent, caller) = (mount.node(parent), mount.node(newParent), request.caller)
        let (name, newName) = (UnsafeRawBufferPointer(cString: name), UnsafeRawBufferPointer(cString: newName))
        request.change(parent, on: mount, name, newName) { fileSystem, name, newName throws(FSError) in
            try fileSystem.rename(parent, name, to: newParent, newName, flags: flags, for: caller)
            return .done
        }
    }
}
