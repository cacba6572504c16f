import CLinux
import Caches
import Glibc
import LinuxIO

/// The part of a run that has the leases: checks what a crash left, shows each cache at its place, and gives everything back. Blocks.
struct RunExecution: Sendable {
    let preparation: RunPreparation
    let mounts: RunMounts
    let leases: LeaseSet
    let isPrivileged: Bool
    let supervisor: Supervisor
    let say: @Sendable (String) -> Void

    func run() throws -> Outcome {
        let ending: Supervisor.Ending
        do {
            ending = try runHolding()
        } catch {
            // The command has not run: nothing was changed.
            try? leases.release()
            throw error
        }
        try leases.release(clean: ending.isClean)
        return ending.outcome
    }

    private func runHolding() throws -> Supervisor.Ending {
        try recover()
        if supervisor.ownsProcess && SignalForwarding.isPending { throw CacheError.cancelled }
        var plan = preparation.plan
        var views: [OwnedDescriptorBox] = []
        for mount in mounts.caches { plan.mounts.append(try show(mount, &views)) }

        let places = HostPlaces()
        defer { places.removeAll() }
        try prepare(&plan, places)
        plan.inherited = leases.lockDescriptors + places.lockDescriptors

        var agents: [SSHAgent] = []
        defer { for agent in agents { agent.stop() } }
        for agent in preparation.agents { agents.append(try SSHAgent(agent.source, environment: preparation.hostEnvironment)) }
        var supervisor = supervisor
        supervisor.others.formUnion(agents.compactMap { $0.helper?.pid })

        let program = ChildProgram(
            steps: try plan.steps(), name: String(decoding: preparation.command[0], as: UTF8.self),
            candidates: preparation.environment.candidates(for: preparation.command[0]), arguments: preparation.command,
            environment: preparation.environment.entries, ignoredSignals: larder_ignored_signals() & ~(1 << UInt64(SIGPIPE - 1)))
        let proxies = zip(preparation.agents, agents).map { AgentProxy(listener: $0.listener.raw, agentPath: $1.path) }
        defer { for proxy in proxies { proxy.stop() } }
        let ending = try supervisor.run(program) {
            for proxy in proxies { try? proxy.start() }
        }
        withExtendedLifetime(views) {}
        return ending
    }

    /// Checks instances whose last user was killed in the middle.
    private func recover() throws {
        for mount in mounts.caches {
            try leases[mount.name]?.recover(
                as: mount.preset, environment: preparation.hostEnvironment.variables,
                advice: "`larder run --no-cache \(mount.id)` goes without it", say: say)
        }
    }

    private func show(_ mount: RunMounts.CacheMount, _ views: inout [OwnedDescriptorBox]) throws -> NamespacePlan.Mount {
        guard let lease = leases[mount.name] else { throw RunError.invalid("no lease on cache '\(mount.name)'") }
        var shown = NamespacePlan.Mount(
            name: "cache '\(mount.name)'", place: Array(mount.place.utf8), content: .bind(.path(Array(lease.path.utf8))),
            attributes: mount.spec.readOnly ? larder_attr_readonly : 0, isFile: false)
        let status = try lease.directory.descriptor.status()
        if let mode = mount.spec.mode, !lease.isReadOnly, status.st_mode & 0o7777 | mode_t(mode & 0o7777) != status.st_mode & 0o7777 {
            // Only ever wider: others may rely on what is there.
            if fchmod(lease.directory.descriptor.raw, status.st_mode & 0o7777 | mode_t(mode & 0o7777)) != 0 {
                say("cache '\(mount.name)': its mode stays \(String(status.st_mode & 0o7777, radix: 8)): \(SystemError("").reason)")
            }
        }
        let view = lease.settings.policy.ownerView
        let disk = CacheOwner(uid: status.st_uid, gid: status.st_gid)
        let wanted = CacheOwner(uid: mount.spec.uid ?? view?.uid ?? disk.uid, gid: mount.spec.gid ?? view?.gid ?? disk.gid)
        guard wanted != disk else { return shown }
        guard isPrivileged else {
            say("cache '\(mount.name)' keeps its owner \(disk.uid):\(disk.gid): only root can show it as \(wanted.uid):\(wanted.gid)'s (an id-mapped mount)")
            return shown
        }
        let namespace = OwnedDescriptorBox(try OwnerView(uid: disk.uid, gid: disk.gid, as: wanted.uid, wanted.gid).userNamespace().release())
        views.append(namespace)
        shown.ownerView = namespace.raw
        return shown
    }

    /// Finds or makes the places, and a directory to build in.
    private func prepare(_ plan: inout NamespacePlan, _ places: HostPlaces) throws {
        let ordered = plan.orderedMounts
        for index in plan.mounts.indices {
            let mount = plan.mounts[index]
            let isInside = ordered.contains { $0.place != mount.place && BytePath.contains($0.place, mount.place) && !$0.isFile }
            if plan.root != nil || isInside {
                plan.mounts[index].makesPlace = true
            } else {
                try places.prepare(mount.place, isFile: mount.isFile, name: mount.name)
            }
        }
        plan.mirrors = places.mirrors
        let candidates = ["/tmp", "/run", "/mnt", "/var", "/srv", "/opt"].map { Array($0.utf8) }
        guard let scratch = candidates.first(where: { candidate in
            HostPlaces.kind(of: candidate) == S_IFDIR && !plan.mirrors.contains { $0.directory != [BytePath.slash] && BytePath.contains(candidate, $0.directory) }
        }) else { throw RunError.invalid("there is no directory to build mounts in: make /tmp") }
        plan.scratch = scratch
    }
}
