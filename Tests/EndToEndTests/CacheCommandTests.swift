import Glibc
import Testing
import TestSupport

extension EndToEnd {
    /// Caches and leases by command and by path, as somebody at a shell has them.
    @Suite struct CacheCommandTests {
        private let larder: MountedLarder

        init() throws { larder = try MountedLarder() }

        @discardableResult
        private func command(_ words: String..., status: Int32 = 0) throws -> Program.Output {
            let output = try Program.run(
                [LarderCommand.binary] + words.prefix(2) + ["--store", larder.store] + words.dropFirst(2), environment: LarderCommand.environment(home: larder.home))
            #expect(output.status == status, "\(words): \(output.text)\(output.errors)")
            return output
        }

        @Test func aCacheIsMadeFilledMeasuredComparedAndRemoved() throws {
            try command("cache", "create", "ns/pip", "--sharing", "locked", "--max-size", "1g")
            let path = "\(larder.mountPoint)/caches/ns%2Fpip"
            let source = try larder.scratch.subdirectory("source")
            try Program.check(["sh", "-ec", "cd \(source); mkdir d; head -c 100000 /dev/urandom >d/data; ln -s d link; printf x >'a b'; mkfifo fifo; ln d/data hard"])
            try command("cache", "cp", source, "ns/pip:in")
            // Copied by the command, seen in the mount, and copied back: three times the same.
            try Program.check(["sh", "-ec", "[ -p \(path)/in/fifo ]; rm \(path)/in/fifo \(source)/fifo; diff -r --no-dereference \(source) \(path)/in"])
            try command("cache", "cp", "ns/pip:in", "\(larder.scratch.path)/out")
            try Program.check(["diff", "-r", "--no-dereference", source, "\(larder.scratch.path)/out"])
            try command("cache", "diff", "--content", "--exit-code", "ns/pip:in", source)
            try Program.check(["sh", "-c", "echo more >>\(source)/d/data"])
            let difference = try command("cache", "diff", "--content", "--exit-code", "ns/pip:in", source, status: 1)
            #expect(difference.text.contains("d/data"))
            // The hard link counts once, as du has it.
            let allocated = try Program.check(["du", "-s", "-B1", "\(larder.store)/caches/ns%2Fpip/instances/0"]).split(separator: "\t")[0]
            #expect(try command("cache", "du", "ns/pip", "--json").text.contains("\"allocatedBytes\" : \(allocated)"))
            #expect(try command("cache", "ls").text.contains("ns/pip"))
            #expect(try command("cache", "inspect", "ns/pip").text.contains("locked"))
            // The mount has it for a moment after a change by path, and what is in use is not removed.
            let words = [LarderCommand.binary, "cache", "rm", "--store", larder.store, "ns/pip"]
            #expect(Wait.until(120) { (try? Program.run(words, environment: LarderCommand.environment(home: larder.home)).status) == 0 })
            #expect(try !Files.exists("\(larder.store)/caches/ns%2Fpip"))
            #expect(Wait.until(120) { ((try? Files.exists(path)) ?? true) == false })
            try command("cache", "inspect", "ns/pip", status: 3)
        }

        @Test func whatIsHeldIsShownAndIsNeitherRemovedNorPruned() throws {
            let marker = "\(larder.scratch.path)/end"
            let holder = try Program(
                [LarderCommand.binary, "run", "--store", larder.store, "--mount=type=cache,id=c,target=\(larder.scratch.path)/t,sharing=locked", "--",
                 "sh", "-ec", "echo x >\(larder.scratch.path)/t/f; touch \(marker).up; while [ ! -e \(marker) ]; do sleep 0.05; done"],
                environment: LarderCommand.environment(home: larder.home))
            try #require(Wait.until(60) { access("\(marker).up", F_OK) == 0 }, "\(holder.errorsSoFar)")
            let list = try command("lease", "ls").text
            let token = String(try #require(list.split(separator: "\t").first))
            #expect(list.contains("\tc\tlocked\t"))
            #expect(try command("lease", "show", token).text.contains("larder run sh"))
            #expect(Wait.until(120) { (try? Files.read("\(larder.mountPoint)/leases/\(token)/holder.json").contains("\"locked\"")) ?? false })
            let refused = try Program.run([LarderCommand.binary, "cache", "rm", "--store", larder.store, "c"], environment: LarderCommand.environment(home: larder.home))
            #expect(refused.status != 0 && refused.errors.contains("larder run sh"), "\(refused.errors)")
            _ = try Program.run([LarderCommand.binary, "cache", "prune", "--store", larder.store, "--all"], environment: LarderCommand.environment(home: larder.home))
            #expect(try Files.read("\(larder.store)/caches/c/instances/0/f") == "x\n")
            try Program.check(["touch", marker])
            #expect(try holder.wait().status == 0)
            #expect(try command("lease", "ls").text.isEmpty)
            try command("cache", "prune", "--all")
            #expect(try !Files.exists("\(larder.store)/caches/c/instances/0/f"))
        }

        @Test func mount8HoldsALeaseUntilItIsUnmounted() throws {
            let place = try larder.scratch.subdirectory("place")
            try command("cache", "create", "c")
            let helper = ["\(Checkout.scripts)/mount.larder", "cache:c", place, "-o", "sharing=locked,store=\(larder.store)"]
            let environment = LarderCommand.environment(home: larder.home, ["LARDER_BINARY": LarderCommand.binary])
            try Program.check(helper, environment: environment)
            defer { umount2(place, Int32(MNT_DETACH)) }
            try Program.check(["sh", "-c", "echo x >\(place)/f"])
            #expect(try Files.read("\(larder.store)/caches/c/instances/0/f") == "x\n")
            #expect(try command("lease", "ls").text.contains("\tc\tlocked\t"))
            let refused = try Program.run(
                [LarderCommand.binary, "run", "--store", larder.store, "--lock-timeout", "0", "--mount=type=cache,id=c,target=\(larder.scratch.path)/t", "--", "true"],
                environment: environment)
            #expect(refused.status == 125, "\(refused.errors)")
            try Program.check(["umount", place])
            #expect(Wait.until(120) { (try? command("lease", "ls").text.isEmpty) ?? false })
        }
    }
}
