"""The people of these tests: two clerks, a supervisor, a reviewer who is also a clerk under another account."""

from __future__ import annotations

from hub.roles import Grant, Operator, Scope


def someone(name: str, person: str, *roles: str, scope: Scope | None = None) -> Operator:
    return Operator(name, person, tuple(Grant(r, scope or Scope()) for r in roles))


CLERK = someone("li", "p1", "业务员")
OTHER_CLERK = someone("wang", "p2", "业务员")
SUPERVISOR = someone("zhao", "p3", "业务主管")
REVIEWER = someone("sun", "p4", "数据复核员")
CLERK_AS_REVIEWER = someone("li-review", "P1 ", "数据复核员")
SCHOOL = someone("xiao", "p5", "学校管理者")
AUDITOR = someone("shen", "p6", "审计负责人")
ADMIN = someone("root", "p7", "系统管理员")
ENGINEER = someone("dev", "p8", "数据工程师")
EVERYONE = (CLERK, OTHER_CLERK, SUPERVISOR, REVIEWER, CLERK_AS_REVIEWER, SCHOOL, AUDITOR, ADMIN, ENGINEER)
