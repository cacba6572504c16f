import CLinux
import Glibc

/// From what a command shall see to the system calls that make it so.
///
/// The order matters. Sources are opened first, by the paths of the host. Then a memory filesystem covers `scratch`, and what must
/// have a path to be made (files, sockets, layers) is made there and taken from there as a detached mount. Then the root is
/// switched, or `scratch` uncovered; and at last everything is attached at its place, where links are those that the command sees.
extension NamespacePlan {
    func steps() throws(RunError) -> StepProgram {
        var program = StepProgram()
        // The signal says that the supervisor died; its thread lives as long as it does.
        program.add(larder_call_prctl, .number(larder_pr_set_pdeathsig), .number(Int(SIGTERM)))
        program.add(larder_call_umask, .number(0o022))
        let temporary = try program.slot()
        var build = Build(program: program, temporary: temporary)
        enterNamespaces(&build)

        let ordered = orderedMounts
        var mounts: [Slot?] = []
        var lower: Slot?
        for mount in ordered { mounts.append(try openSource(of: mount, &build)) }
        if let root {
            build.program.purpose = "cannot use \(BytePath.text(root)) as the root"
            let slot = try build.program.slot()
            build.program.open(root, into: slot)
            build.program.clone(slot, into: slot)
            lower = slot
        }
        let furniture = root == nil ? [] : try RootFurniture.open(&build)

        let mirrorsRoot = mirrors.contains { $0.directory == [BytePath.slash] }
        var needsScratch = root != nil || !mirrors.isEmpty
        for mount in ordered {
            switch mount.content {
            case .file, .socket, .throwAway: needsScratch = true
            case .bind, .memory: break
            }
        }
        var mirrorMounts: [Slot?] = []
        if needsScratch {
            build.program.purpose = "cannot mount a temporary filesystem"
            var covered: Slot?
            if mirrorsRoot {
                let slot = try build.program.slot()
                build.program.clone(scratch, into: slot)
                covered = slot
            }
            let slot = try build.program.slot()
            build.program.makeMount("tmpfs", [("mode", "0700")], using: build.temporary, into: slot)
            build.program.attach(slot, at: scratch)
            for (index, mount) in ordered.enumerated() { mounts[index] = try makeInScratch(mount, index, mounts[index], &build) }
            for (index, mirror) in mirrors.enumerated() { mirrorMounts.append(try make(mirror, index, covered, &build)) }
            if let lower { try switchToLayer(over: lower, &build) }
            if mirrorsRoot, let index = mirrors.firstIndex(where: { $0.directory == [BytePath.slash] }) {
                build.program.purpose = "cannot switch to a root with the mount points"
                build.program.switchRoot(to: mirrorPath(index))
            } else if root == nil {
                build.program.detach(scratch)
            }
        }
        if root != nil { RootFurniture.attach(furniture, &build) }
        for (mirror, slot) in zip(mirrors, mirrorMounts) {
            guard let slot else { continue }
            build.program.purpose = "cannot make mount points in \(BytePath.text(mirror.directory))"
            build.program.attach(slot, at: mirror.directory)
        }
        for (mount, slot) in zip(ordered, mounts) {
            guard let slot else { continue }
            build.program.purpose = "cannot mount \(mount.name) at \(BytePath.text(mount.place))"
            if mount.makesPlace || mirrors.contains(where: { BytePath.contains($0.directory, mount.place) }) {
                for directory in BytePath.ancestors(mount.place) { build.program.makeDirectory(directory, mayExist: true) }
                if mount.isFile {
                    build.program.makeFile(mount.place, mayExist: true)
                } else {
                    build.program.makeDirectory(mount.place, mayExist: true)
                }
            }
            build.program.attach(slot, at: mount.place)
        }
        finish(&build)
        return build.program
    }

    struct Build {
        var program: StepProgram
        /// For results that the next step but one needs no more.
        var temporary: Slot
    }

    private func enterNamespaces(_ build: inout Build) {
        switch authority {
        case .privileged:
            build.program.purpose = "cannot make a mount namespace"
            build.program.add(larder_call_unshare, .number(larder_clone_newns))
        case .user(let uid, let gid):
            build.program.purpose = "cannot make a user namespace"
            build.program.add(larder_call_unshare, .number(larder_clone_newns | larder_clone_newuser))
            // Without this no ordinary user may write a gid_map: user_namespaces(7).
            build.program.writeExisting("/proc/self/setgroups", "deny", using: build.temporary)
            build.program.writeExisting("/proc/self/uid_map", "\(uid) \(uid) 1", using: build.temporary)
            build.program.writeExisting("/proc/self/gid_map", "\(gid) \(gid) 1", using: build.temporary)
        }
        // Slave, not private: what is unmounted outside must not live on in here for as long as the command runs.
        build.program.purpose = "cannot make the mounts its own"
        build.program.add(larder_call_mount, .number(0), .text("/"), .number(0), .number(larder_ms_slave_recursive), .number(0))
    }

    private func openSource(of mount: Mount, _ build: inout Build) throws(RunError) -> Slot? {
        let source: Source
        switch mount.content {
        case .bind(let path), .throwAway(let path, _): source = path
        case .memory(let size):
            build.program.purpose = "cannot make \(mount.name)"
            let slot = try build.program.slot()
            let options = size.map { $0 == 0 ? [] : [("size", String($0) as String?)] } ?? []
            build.program.makeMount("tmpfs", options, attributes: mount.attributes, using: build.temporary, into: slot)
            return slot
        case .file, .socket: return nil
        }
        build.program.purpose = "cannot use the source of \(mount.name)"
        let slot = try build.program.slot()
        switch source {
        case .path(let path): build.program.open(path, into: slot)
        case .inside(let root, let path):
            build.program.open(root, into: build.temporary)
            build.program.open(path, inside: build.temporary, into: slot)
        }
        build.program.clone(slot, into: slot)
        guard case .bind = mount.content else { return slot }
        build.program.setAttributes(slot, mount.attributes)
        if let view = mount.ownerView {
            build.program.purpose = "cannot show \(mount.name) as another owner's"
            build.program.setOwnerView(slot, view)
        }
        return slot
    }

    /// The mount itself, ready to be attached.
    private func makeInScratch(_ mount: Mount, _ index: Int, _ source: Slot?, _ build: inout Build) throws(RunError) -> Slot? {
        build.program.purpose = "cannot make \(mount.name)"
        let path = scratchPath("m\(index)")
        switch mount.content {
        case .bind, .memory: return source
        case .throwAway(_, let file):
            guard let source else { return nil }
            let slot = try build.program.slot()
            try overlay(on: source, named: "m\(index)", into: slot, &build)
            guard let file else { return slot }
            build.program.makeDirectory(path)
            build.program.attach(slot, at: path)
            build.program.clone(BytePath.join(path, file), into: slot)
            return slot
        case .file(let bytes, let mode, let uid, let gid):
            build.program.writeFile(path, bytes, mode: mode, owner: owner(uid, gid), using: build.temporary)
        case .socket(let socket, let mode, let uid, let gid):
            guard let address = UnixSocket.address(path) else { throw .invalid("cannot make \(mount.name): \(BytePath.text(path)) is too long") }
            build.program.add(larder_call_bind, .number(Int(socket)), .structure(address), .number(MemoryLayout<sockaddr_un>.size))
            build.program.add(larder_call_chmod, StepProgram.here, .text(path), .number(Int(mode)))
            if let owner = owner(uid, gid) {
                build.program.add(larder_call_chown, StepProgram.here, .text(path), .number(Int(owner.uid)), .number(Int(owner.gid)), .number(0))
            }
            build.program.add(larder_call_listen, .number(Int(socket)), .number(64))
        }
        let slot = try build.program.slot()
        build.program.clone(path, into: slot)
        build.program.setAttributes(slot, mount.attributes)
        return slot
    }

    /// nil where the owner is who makes the file anyway.
    private func owner(_ uid: UInt32, _ gid: UInt32) -> (uid: UInt32, gid: UInt32)? {
        switch authority {
        case .privileged: (uid, gid)
        case .user(let ownUID, let ownGID): uid == ownUID && gid == ownGID ? nil : (uid, gid)
        }
    }

    /// A memory layer over a directory. The lower layer gets a path of its own, which holds no `:` and no `,`.
    private func overlay(on lower: Slot, named name: String, into slot: Slot, _ build: inout Build) throws(RunError) {
        let (below, above, work) = (scratchPath(name + "l"), scratchPath(name + "u"), scratchPath(name + "w"))
        for directory in [below, above, work] { build.program.makeDirectory(directory) }
        build.program.attach(lower, at: below)
        var options: [(String, String?)] = [
            ("lowerdir", BytePath.text(below)), ("upperdir", BytePath.text(above)), ("workdir", BytePath.text(work)),
        ]
        if authority != .privileged { options.append(("userxattr", nil)) }
        build.program.makeMount("overlay", options, using: build.temporary, into: slot)
    }

    private func switchToLayer(over lower: Slot, _ build: inout Build) throws(RunError) {
        build.program.purpose = "cannot make a throw-away root"
        let slot = try build.program.slot()
        try overlay(on: lower, named: "r", into: slot, &build)
        let path = scratchPath("root")
        build.program.makeDirectory(path)
        build.program.attach(slot, at: path)
        build.program.switchRoot(to: path)
    }

    private func mirrorPath(_ index: Int) -> [UInt8] { scratchPath("d\(index)") }

    private func scratchPath(_ name: String) -> [UInt8] { BytePath.join(scratch, Array(name.utf8)) }

    /// A memory filesystem that shows, as mounts, what the directory holds. nil for the root, which is switched to and not attached.
    private func make(_ mirror: Mirror, _ index: Int, _ covered: Slot?, _ build: inout Build) throws(RunError) -> Slot? {
        build.program.purpose = "cannot make mount points in \(BytePath.text(mirror.directory))"
        let path = mirrorPath(index)
        let slot = try build.program.slot()
        build.program.makeDirectory(path)
        build.program.makeMount("tmpfs", [("mode", String(mirror.mode & 0o7777, radix: 8))], using: build.temporary, into: slot)
        build.program.attach(slot, at: path)
        for entry in mirror.entries {
            let place = BytePath.join(path, entry.name)
            let original = BytePath.join(mirror.directory, entry.name)
            switch entry.kind {
            case .link(let target):
                build.program.symlink(target, at: place)
                continue
            case .directory: build.program.makeDirectory(place)
            case .other: build.program.makeFile(place)
            }
            if let covered, original == scratch {
                build.program.attach(covered, at: place)
            } else {
                // What has gone since it was listed leaves an empty place.
                build.program.clone(original, into: build.temporary, accepting: [ENOENT, EACCES])
                build.program.attach(build.temporary, at: place, accepting: [EBADF])
                build.program.add(larder_call_close, .slot(build.temporary), accepting: [EBADF])
            }
        }
        if mirror.directory == [BytePath.slash] { return nil }
        build.program.clone(path, into: slot)
        return slot
    }

    private func finish(_ build: inout Build) {
        build.program.purpose = "cannot change to the working directory \(BytePath.text(workingDirectory))"
        if root != nil { for directory in BytePath.ancestors(workingDirectory) + [workingDirectory] where directory != [BytePath.slash] {
            build.program.makeDirectory(directory, mayExist: true)
        } }
        build.program.changeDirectory(workingDirectory)
        build.program.purpose = "cannot start the command"
        build.program.add(larder_call_umask, .number(Int(umask)))
        if let limit = descriptorLimit {
            build.program.add(
                larder_call_prlimit, .number(0), .number(Int(RLIMIT_NOFILE.rawValue)), .structure(rlimit(rlim_cur: rlim_t(limit.soft), rlim_max: rlim_t(limit.hard))),
                .number(0))
        }
        // Nothing of ours goes into the command but the locks, which must outlive a supervisor that is killed. They go out of the
        // way of scripts, which use small numbers.
        build.program.add(larder_call_close_range, .number(3), .number(Int(UInt32.max)), .number(larder_close_range_cloexec))
        for descriptor in inherited { build.program.add(larder_call_fcntl, .number(Int(descriptor)), .number(Int(F_DUPFD)), .number(Self.firstInherited)) }
    }

    static let firstInherited = 100
}
